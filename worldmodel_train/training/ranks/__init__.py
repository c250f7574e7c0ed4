"""What the ranks of a run tell each other: decisions, stalls, losses."""
