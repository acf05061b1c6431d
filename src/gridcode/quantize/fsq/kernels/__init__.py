"""FSQ's inner loops: plain PyTorch (the definition), and the same in one pass for CPUs and CUDA."""
