"""The built-in scenes: rendered images of five solids, with exact depth and segments."""
