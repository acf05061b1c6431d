"""The paper's experiments as programs: each ends in a table, pictures and a JSON file."""
