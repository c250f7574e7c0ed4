"""The run that paints what a planning model imagines."""

from pathlib import Path

from torch import nn

from worldmodel_train.evaluation.task import Subject
from worldmodel_train.models.frozen import fingerprint_of, fingerprints
from worldmodel_train.protocols import RendersFrames

_KEY = "planning.decoder"


def opened_decoder(subject: Subject, run: Path, *, size: tuple[int, int]) -> RendersFrames:
    """The decoder of a run, which was trained on the latents of the subject's own weights.

    Raises:
        ValueError: It is no decoder, or one of other latents or of pictures of another size.
    """
    decoder = subject.other_run(run, _KEY)
    if not isinstance(decoder, RendersFrames):
        raise ValueError(
            f"{_KEY}={run} is a {type(decoder).__name__}, which paints no latents of what is "
            "planned with; use a run of renderers/frame_decoder"
        )
    assert isinstance(subject.trained, nn.Module), "it was trained"
    if fingerprint_of(subject.trained) not in fingerprints(decoder).values():
        raise ValueError(
            f"{_KEY}={run} reads latents of other weights than those that plan; train one with "
            "method.world_model.checkpoint of this very run, at this step"
        )
    if decoder.frame_size() != size:
        raise ValueError(
            f"{_KEY}={run} paints pictures of {decoder.frame_size()} pixels, and the world's have "
            f"{size}; train one on the episodes of this run"
        )
    return decoder
