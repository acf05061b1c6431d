"""Layers in place of a codebook, on images and on points in the plane (section 3.3 of the paper)."""
