"""What a run reports while it goes on: numbers, curves, pictures."""
