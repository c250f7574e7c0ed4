"""Pretrain world models on video."""

__version__ = "0.1.0"
