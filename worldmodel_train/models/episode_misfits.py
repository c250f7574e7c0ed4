"""Episodes that a world model of pictures cannot learn from, as errors that say what would do."""

from worldmodel_train.facts import EpisodeFacts
from worldmodel_train.models.token_fit import not_a_multiple
from worldmodel_train.models.vit import EncoderConfig


def refuse_other_actions(episodes: EpisodeFacts, *, method: str, actions: int) -> None:
    """Raises ValueError unless there are pictures, and actions of so many continuous numbers."""
    if len(episodes.observation) != 3 or episodes.discrete_actions:
        raise ValueError(
            f"{method} learns from pictures and continuous actions, and the episodes "
            f"have observations of shape {episodes.observation} and "
            f"{'discrete' if episodes.discrete_actions else 'continuous'} actions"
        )
    if episodes.action_width != actions:
        raise ValueError(
            f"method.actions={actions}, but an action of a window has "
            f"{episodes.action_width} numbers (those of all frames that data.frameskip passes "
            f"over); use {episodes.action_width}"
        )


def refuse_vectors(episodes: EpisodeFacts, *, method: str) -> None:
    """Raises ValueError unless there are pictures."""
    if len(episodes.observation) != 3:
        raise ValueError(
            f"{method} learns from pictures, and the episodes have observations of shape "
            f"{episodes.observation}; use episodes with pixels"
        )


def refuse_other_pictures(episodes: EpisodeFacts, *, patch: int, key: str) -> None:
    """Raises ValueError unless the pictures are whole patches; `key` says where their size is."""
    for side in episodes.observation[:2]:
        if side % patch:
            raise ValueError(f"pictures of the episodes: {not_a_multiple(side, patch, key)}")


def refuse_other_steps(episodes: EpisodeFacts, *, least: int, history: int) -> None:
    """Raises ValueError unless windows have `least` frames or more, and history and the next."""
    if not least <= episodes.steps <= history + 1:
        raise ValueError(
            f"data.steps={episodes.steps} is not {least} to method.history={history} and the "
            f"next; use {history + 1}"
        )


def refuse_tubelets(encoder: EncoderConfig) -> None:
    """Raises ValueError where tokens span several frames."""
    if encoder.tubelet != 1:
        raise ValueError(
            f"encoder.tubelet={encoder.tubelet}, but there is an action after each frame; use 1"
        )
