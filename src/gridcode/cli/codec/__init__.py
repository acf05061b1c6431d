"""The verbs ``compress`` and ``decompress``, and what they share."""
