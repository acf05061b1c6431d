"""Networks in the loss of a tokenizer of images, graded by others."""
