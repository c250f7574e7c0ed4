"""Small runs that show whether a system learns, each beside the baselines that it must beat."""
