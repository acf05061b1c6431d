"""The networks of tokenizers of sounds, one file an architecture, and the discriminator that learns beside them."""
