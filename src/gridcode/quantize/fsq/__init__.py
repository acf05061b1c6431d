"""Finite scalar quantization: the quantizer, its forms, residual and grouped ones, and its kernels."""
