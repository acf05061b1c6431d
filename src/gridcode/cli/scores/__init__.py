"""Scores by named protocols of pictures alone, without a model: reference statistics, and pictures in files."""
