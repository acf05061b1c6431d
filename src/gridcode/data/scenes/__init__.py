"""The built-in scenes: rendered pictures of five solids, with exact depth and segments."""
