"""Kernels for video world models, each in plain PyTorch and in Triton."""
