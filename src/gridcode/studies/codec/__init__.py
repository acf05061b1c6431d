"""A study of images in files: rate against quality, gridcode's codec beside the formats that people use."""
