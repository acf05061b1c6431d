"""Data in shards: tar files as WebDataset writes them, patterns of file names, and streams of what is not at hand."""
