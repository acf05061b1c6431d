"""How tokens enter a transformer and what it says of them: one softmax over the codebook, or digit by digit."""
