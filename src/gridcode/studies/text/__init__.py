"""Does text gain by FSQ tokens? Bits per character through tokens, beside bytes and compressors."""
