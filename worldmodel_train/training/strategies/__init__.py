"""On which processes and devices a run trains, and how its state is shared out."""
