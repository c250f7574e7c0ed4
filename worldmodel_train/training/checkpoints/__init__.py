"""What a run needs to go on: written by all ranks, read into any layout."""
