"""How near decoded latents, decoded predictions and their rivals are to the true pixels."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import torch
from einops import rearrange
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from torchmetrics.functional.image import (
    peak_signal_noise_ratio,
    structural_similarity_index_measure,
)

from worldmodel_train.data.fixed import FixedClips
from worldmodel_train.evaluation.decoding.pixel_rivals import PixelRivals
from worldmodel_train.evaluation.decoding.questions import Future, Question
from worldmodel_train.evaluation.frozen import frozen
from worldmodel_train.evaluation.task_result import TRAINED, UNTRAINED
from worldmodel_train.models.gather import gather_tokens
from worldmodel_train.protocols import LatentPredictor, LatentRenderer
from worldmodel_train.types import ClipGroup, TokenGrid

WHOLE_CLIPS = "whole clips"
MEAN, LINEAR, COPIED = "mean picture", "linear decoder", "copy of the last frame"
TRUE_LATENTS = "true latents, decoded"
"""No rival of a prediction: the most that this decoder makes of a perfect one."""


@dataclass(frozen=True, kw_only=True)
class PixelScores:
    """The PSNR and SSIM of each clip by contender, the trained decoder first."""

    of: str
    """Which tokens, given which."""
    psnr: Mapping[str, Float[Tensor, " b"]]
    ssim: Mapping[str, Float[Tensor, " b"]] = field(default_factory=dict[str, Tensor])
    """Of its frames on average; empty where some tokens alone are asked for, which are no frame."""


@dataclass(frozen=True, kw_only=True)
class Contest:
    """A trained decoder, the same as it was before training, and their rivals."""

    trained: LatentRenderer
    untrained: LatentRenderer
    rivals: PixelRivals
    batch_size: int

    def whole(self, held_out: FixedClips) -> PixelScores:
        """Of all tokens, from the latents that the model gives them."""
        psnr, ssim = [], []
        for clips, _ in self._batches(held_out):
            model = self.trained.latent_model(clips.device)
            grid, latents = model.token_grid(clips), model.encode(clips)
            everything = torch.arange(grid.num_tokens, device=clips.device)[None]
            answers = self._answers(latents, everything, grid)
            psnr.append(_psnr(answers, self.trained.tubelets(clips)))
            shown = {name: self.trained.clips(a, grid) for name, a in answers.items()}
            ssim.append(_ssim(shown, clips))
        return PixelScores(of=WHOLE_CLIPS, psnr=_joined(psnr), ssim=_joined(ssim))

    def predicted(self, held_out: FixedClips, question: Question) -> PixelScores:
        """Of the tokens that are asked for, from what the model's predictor says of them."""
        batches = []
        for clips, samples in self._batches(held_out):
            model = self.trained.latent_model(clips.device)
            grid = model.token_grid(clips)
            index, latents = ask(model, clips, question, samples, held_out.length_index)
            answers = self._answers(latents, index, grid)
            true_latents = gather_tokens(model.encode(clips), index)
            answers[TRUE_LATENTS] = self.trained.decode(true_latents, index, grid)
            if isinstance(question, Future):
                copied = self.trained.tubelets(_last_frame_copied(clips, question, grid))
                answers[COPIED] = gather_tokens(copied, index)
            batches.append(_psnr(answers, gather_tokens(self.trained.tubelets(clips), index)))
        return PixelScores(of=question.name, psnr=_joined(batches))

    def _batches(self, held_out: FixedClips) -> Iterator[tuple[UInt8[Tensor, "b t h w c"], range]]:
        with frozen(self.untrained), frozen(self.trained) as device:
            for first in range(0, len(held_out.clips), self.batch_size):
                clips = held_out.clips[first : first + self.batch_size]
                yield clips.to(device), range(first, first + len(clips))

    def _answers(
        self, latents: Float[Tensor, "b k d"], index: Int[Tensor, "#b k"], grid: TokenGrid
    ) -> dict[str, Float[Tensor, "b k p"]]:
        """Each decoder's tubelets of these latents, and the mean of their places."""
        return {
            TRAINED: self.trained.decode(latents, index, grid),
            UNTRAINED: self.untrained.decode(latents, index, grid),
            MEAN: self.rivals.mean[index].expand(len(latents), -1, -1),
            LINEAR: self.rivals.linear.decode(latents),
        }


def ask(
    model: LatentPredictor,
    clips: UInt8[Tensor, "b t h w c"],
    question: Question,
    samples: range,
    length_index: int,
) -> tuple[Int[Tensor, "b m"], Float[Tensor, "b m d"]]:
    """Ids of the tokens that are asked for, and what is predicted of them from the context."""
    masks = question.masks(model.token_grid(clips), samples)
    group = ClipGroup(clips=clips, masks=masks, length_index=length_index)
    group = group.map(lambda tensor: tensor.to(clips.device))
    predicted = model.predict(group)[question.group].predicted[:, 0]
    return group.masks[question.group].target_index[:, 0], predicted.float()


def _last_frame_copied(
    clips: UInt8[Tensor, "b t h w c"], question: Future, grid: TokenGrid
) -> UInt8[Tensor, "b t h w c"]:
    seen = question.num_seen * (clips.shape[1] // grid.frames)
    later = clips[:, seen - 1 : seen].expand(-1, clips.shape[1] - seen, -1, -1, -1)
    return torch.cat((clips[:, :seen], later), dim=1)


def _psnr(
    answers: Mapping[str, Float[Tensor, "b k p"]], truth: Float[Tensor, "b k p"]
) -> dict[str, Float[Tensor, " b"]]:
    """Of each clip, in decibels; what no picture can show is cut off first."""
    return {
        name: peak_signal_noise_ratio(
            answer.float().clamp(0, 1), truth, data_range=1.0, dim=(1, 2), reduction="none"
        ).cpu()
        for name, answer in answers.items()
    }


def _ssim(
    answers: Mapping[str, UInt8[Tensor, "b t h w c"]], truth: UInt8[Tensor, "b t h w c"]
) -> dict[str, Float[Tensor, " b"]]:
    """Of each clip, the mean of its frames."""
    return {name: _ssim_of(answer, truth) for name, answer in answers.items()}


def _ssim_of(
    answer: UInt8[Tensor, "b t h w c"], truth: UInt8[Tensor, "b t h w c"]
) -> Float[Tensor, " b"]:
    found = structural_similarity_index_measure(
        _pictures(answer), _pictures(truth), data_range=1.0, reduction="none"
    )
    assert isinstance(found, Tensor), "no picture of it was asked for"
    return found.unflatten(0, truth.shape[:2]).mean(dim=1).cpu()


def _pictures(clips: UInt8[Tensor, "b t h w c"]) -> Float[Tensor, "bt c h w"]:
    return rearrange(clips, "b t h w c -> (b t) c h w").float() / 255


def _joined(batches: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.cat([batch[name] for batch in batches]) for name in batches[0]}
