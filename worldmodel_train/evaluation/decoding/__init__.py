"""How well pictures come back out of latents."""
