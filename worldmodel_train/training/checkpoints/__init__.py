"""What a run needs to resume: written by all ranks, read into any layout."""
