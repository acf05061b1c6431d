"""Does text gain by FSQ tokens? Bits a character through tokens, beside bytes and compressors."""
