"""The paper's experiments as programs: each ends in a table, images and a JSON file."""
