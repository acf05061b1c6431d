"""A study of speech at low rates: gridcode's tokens beside Opus and Codec 2."""
