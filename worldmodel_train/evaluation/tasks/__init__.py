"""Tasks: what can be measured of a run. Each file with a `Config` is one, by its name."""
