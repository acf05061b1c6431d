"""Scores by named protocols of images alone, without a model: reference statistics, and images in files."""
