"""Benchmarks of the training step, the kernels, the loader and memory: `python -m benchmarks`."""
