"""Networks in the loss of a tokenizer of pictures, graded by others."""
