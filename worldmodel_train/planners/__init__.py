"""Choose actions by search, given any `LatentDynamics` and an `Energy`."""
