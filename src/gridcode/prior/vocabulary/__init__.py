"""How tokens enter a transformer, and the heads that predict them: one softmax over the codebook, or digit by digit."""
