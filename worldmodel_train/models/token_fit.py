"""Whether clips are whole tokens of a method, found before anything is built."""

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

from worldmodel_train.facts import ClipShape, DataFacts, Misfit
from worldmodel_train.models.sincos import SinCos1d
from worldmodel_train.models.vit import EncoderConfig
from worldmodel_train.types import TokenGrid

MAX_TOKENS = 2**20
"""Tokens of a clip past which a recipe is a slip of the pen."""


@runtime_checkable
class TubeletSize(Protocol):
    """What has tubelets: an encoder's configuration, or a method's own."""

    @property
    def tubelet(self) -> int:
        """Frames of a tubelet."""
        ...

    @property
    def patch(self) -> int:
        """Its height and width in pixels."""
        ...


def grid_of(size: TubeletSize, clip: ClipShape) -> TokenGrid:
    """The tokens of clips that `token_misfits` has nothing against."""
    return TokenGrid.of(*clip, tubelet=size.tubelet, patch=size.patch)


def token_misfits(size: TubeletSize, data: DataFacts, *, key: str) -> Iterator[Misfit]:
    """What of the data is no whole number of tokens, or has more than any model can take.

    `key` is where the recipe has the size, such as method.encoder.
    """
    for source in data:
        sides = _sides_in_pieces(source.clip, size.patch, f"{key}.patch")
        if sides:
            yield data.size_key, "; ".join(sides)
            return
        frames_key, frames = (*source.key, "clip", "frames"), source.clip.frames
        if frames % size.tubelet:
            yield frames_key, not_a_multiple(frames, size.tubelet, f"{key}.tubelet")
            continue
        grid = grid_of(size, source.clip)
        if grid.num_tokens > MAX_TOKENS:
            message = f"{shape_of(grid)} are more than any model can attend to; "
            yield frames_key, message + "use shorter or smaller clips"


def _sides_in_pieces(clip: ClipShape, patch: int, key: str) -> list[str]:
    """What is wrong with height and width, once where they are the same."""
    if clip.height == clip.width:
        return [not_a_multiple(clip.height, patch, key)] if clip.height % patch else []
    named = {"height": clip.height, "width": clip.width}
    return [
        f"{name} {not_a_multiple(side, patch, key)}" for name, side in named.items() if side % patch
    ]


def encoder_misfits(encoder: EncoderConfig, data: DataFacts) -> Iterator[Misfit]:
    """The same of an encoder under method.encoder, and of what its positions cannot tell apart."""
    yield from token_misfits(encoder, data, key="method.encoder")
    position, name = encoder.position, encoder.position.name
    if isinstance(position, SinCos1d):
        yield from counted_misfits(encoder, position, data)
    if name == "sincos2d" and any(s.clip.frames > encoder.tubelet for s in data):
        message = f"{name} has no place for time; use rope3d or sincos3d for videos"
        yield ("method", "encoder", "position"), message


def counted_misfits(size: TubeletSize, position: SinCos1d, data: DataFacts) -> Iterator[Misfit]:
    """The first source whose clips have other tokens than those that positions count."""
    known = TokenGrid(*position.grid)
    for source in data:
        grid = grid_of(size, source.clip)
        if grid != known:
            message = f"sincos1d counts {shape_of(known)}, and clips have {shape_of(grid)}; "
            message += f"use {known.frames * size.tubelet} frames of "
            message += f"{known.height * size.patch}x{known.width * size.patch} pixels"
            in_time = grid.frames != known.frames
            yield (*source.key, "clip", "frames") if in_time else data.size_key, message
            return


def one_length(data: DataFacts) -> Iterator[Misfit]:
    """For methods that take clips of one length: the first source whose clips have another."""
    first = data.sources[0].clip.frames
    for source in data:
        if source.clip.frames != first:
            message = f"this method takes clips of one length; use {first}, as the first source"
            yield (*source.key, "clip", "frames"), message
            return


def not_a_multiple(value: int, step: int, key: str) -> str:
    """That `value` should be a multiple of `step`, the value of `key`, and the nearest ones."""
    below = value - value % step
    nearest = f"{below} or {below + step}" if below else str(step)
    return f"{value} is not a multiple of {key}={step}; use {nearest}"


def shape_of(grid: TokenGrid) -> str:
    """The grid in words."""
    return f"{grid.frames}x{grid.height}x{grid.width} tokens"
