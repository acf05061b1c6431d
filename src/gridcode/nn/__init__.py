"""Blocks that several models share; import them from their modules."""
