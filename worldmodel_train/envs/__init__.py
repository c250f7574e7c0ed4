"""Worlds to act in, with the state known: each is a `gymnasium.Env`."""
