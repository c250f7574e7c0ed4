"""The training step as others compute it: the same weights, masks and clips."""
