"""Attention inside segments of one flat list of tokens, and to past frames."""
