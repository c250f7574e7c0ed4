"""Methods that learn from the same clips with the same encoder, measured against each other."""
