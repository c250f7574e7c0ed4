"""Whether a model finds where things move."""
