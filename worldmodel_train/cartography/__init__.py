"""What the latent space has learned, as numbers and pictures."""
