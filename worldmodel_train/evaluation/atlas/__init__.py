"""A map of what an encoder holds: known states, learned features, and what follows what."""
