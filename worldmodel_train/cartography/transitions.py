"""Discrete states of a film in time: which follows which, and how much oftener than by chance."""

import numpy as np
from jaxtyping import Float, Integer
from numpy import ndarray


def transition_counts(states: Integer[ndarray, "v t"], num_states: int) -> Float[ndarray, "k k"]:
    """How often the state of the row is followed by that of the column, within a video."""
    counts = np.zeros((num_states, num_states))
    np.add.at(counts, (states[:, :-1].ravel(), states[:, 1:].ravel()), 1)
    return counts


def transition_shares(counts: Float[ndarray, "k k"]) -> Float[ndarray, "k k"]:
    """Of each row the share of its followers; zeros where nothing follows."""
    total = counts.sum(axis=1, keepdims=True)
    return np.divide(counts, total, out=np.zeros_like(counts), where=total > 0)


def moves(counts: Float[ndarray, "k k"]) -> Float[ndarray, "k k"]:
    """The same without what stays."""
    return counts * (1 - np.eye(len(counts)))


def predictability(counts: Float[ndarray, "k k"]) -> float:
    """The share of followers named rightly by who names each state's most frequent follower."""
    total = counts.sum()
    return float(counts.max(axis=1).sum() / total) if total else float("nan")
