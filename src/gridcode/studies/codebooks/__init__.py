"""Studies of codebooks: FSQ and VQ by size, level sets, bounds, channels by levels, and how far a grid pays."""
