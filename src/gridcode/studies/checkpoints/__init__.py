"""Studies that train a checkpoint once and measure it in many ways: samplers, guidance, meaning of codes, long runs."""
