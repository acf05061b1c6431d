"""Where clips come from: moving scenes that are drawn, and files."""
