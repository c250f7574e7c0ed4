"""How well hidden or later latents, and what a loss is of, are predicted."""
