"""Kinds of data, one folder each; they do not import each other."""
