"""Other looks of the same clips, and the numbers that say how they differ."""
