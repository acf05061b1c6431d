"""The networks of image tokenizers, one file an architecture, and the discriminator that learns beside them."""
