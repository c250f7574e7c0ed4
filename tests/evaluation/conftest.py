"""A small model with known answers, held-out clips, and finished results."""

import pytest
import torch
from einops import rearrange, reduce
from torch import nn

from worldmodel_train.data.config import DataConfig
from worldmodel_train.data.fixed import FixedClips
from worldmodel_train.evaluation.latents.latent_result import latent_result
from worldmodel_train.evaluation.latents.latent_scores import (
    Compared,
    LatentScores,
    PredictionScores,
)
from worldmodel_train.evaluation.probing.probe_scores import (
    ProbeScores,
    ProbeSuite,
    ProbeTask,
    probe_result,
)
from worldmodel_train.evaluation.probing.probe_words import pen_stroke_words
from worldmodel_train.evaluation.result import EvaluationResult, Machine, Measurement
from worldmodel_train.evaluation.task import Subject
from worldmodel_train.evaluation.task_result import Measured
from worldmodel_train.masks.draw import MaskPreparation
from worldmodel_train.recipe import load_recipe
from worldmodel_train.types import LatentPair, Losses, Masks, TokenGrid

PATCH, TUBELET = 8, 2


class PatchMeans(nn.Module):
    """Latents are a fixed random map of patch means; every prediction is off by `error`."""

    def __init__(self, error: float, width: int = 6, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.project = nn.Parameter(torch.randn(3, width, generator=generator))
        self.error = error
        self.modes = []

    def token_grid(self, clips):
        frames, height, width = clips.shape[1:4]
        return TokenGrid(frames // TUBELET, height // PATCH, width // PATCH)

    def encode(self, clips):
        self.modes.append(self.training)
        patches = reduce(
            clips.float() / 255,
            "b (t u) (h p) (w q) c -> b t h w c",
            "mean",
            u=TUBELET,
            p=PATCH,
            q=PATCH,
        )
        return rearrange(patches, "b t h w c -> b (t h w) c") @ self.project

    def predict(self, group):
        latents = self.encode(group.clips)
        batch = torch.arange(len(latents))[:, None, None]
        targets = [latents[batch, masks.target_index].detach() for masks in group.masks]
        return [
            LatentPair(predicted=t + self.error * torch.ones_like(t), target=t) for t in targets
        ]

    def training_losses(self, content):
        (group,) = content.groups
        (pair,) = self.predict(group)
        noise = 0.01 * torch.rand(())
        error = (pair.predicted - pair.target).abs().mean()
        return Losses(total=error + noise, terms={"error": error})

    def ema_pairs(self):
        return ()

    def parameter_groups(self):
        return ()


class FirstAndLast:
    """Sees the first token and predicts the last."""

    def sample(self, grid, *, seed, step, samples):
        last = torch.tensor([grid.num_tokens - 1])
        return Masks(
            context_index=torch.zeros(len(samples), 1, dtype=torch.long),
            target_index=last.expand(len(samples), 1, -1).contiguous(),
        )

    def __str__(self) -> str:
        return "first and last"


@pytest.fixture
def patch_means():
    return PatchMeans


@pytest.fixture
def sampler():
    return FirstAndLast()


@pytest.fixture
def subject(monkeypatch, held_out, sampler, tmp_path):
    """Makes a subject of two models, all of whose clips are those of the fixture."""
    monkeypatch.setattr(DataConfig, "clips_of", lambda *_, **__: held_out)
    recipe = load_recipe("demo", ["data.held_out.clip.frames=4", "data.sources.0.clip.frames=4"])
    augment = recipe.data.augment.model_copy(update={"size": 16})
    preparation = MaskPreparation(samplers=(sampler,), tubelet=TUBELET, patch=PATCH)

    def make(trained, untrained):
        return Subject(
            method="test/method",
            trained=trained,
            untrained=untrained,
            preparation=preparation,
            data=recipe.data.model_copy(update={"augment": augment}),
            run_dir=tmp_path,
        )

    return make


@pytest.fixture
def held_out():
    generator = torch.Generator().manual_seed(0)
    clips = torch.randint(0, 256, (7, 4, 16, 16, 3), dtype=torch.uint8, generator=generator)
    keys = ("a", "a", "a", "b", "b", "c/../../<i>", "c/../../<i>")
    return FixedClips(clips=clips, keys=keys, labels=(None,) * 7, skipped=())


def _scores(explained, copied, rank):
    both = PredictionScores(
        predictor=Measured(values=explained),
        copy_nearest=Measured(values=copied),
        place_and_clip=Measured(values=(0.0777,)),
    )
    return LatentScores(
        overall=both, groups=(both,), over_videos=0.0555, width=128, rankme=rank,
        token_rankme=2 * rank, dimension_std=0.4321, pairwise_cosine=0.1234,
    )  # fmt: skip


@pytest.fixture
def compared():
    return Compared(
        trained=_scores((0.187, 0.193), (-0.11, -0.09), 15.5),
        untrained=_scores((-0.03, -0.03), (0.02, 0.02), 20.5),
    )


@pytest.fixture
def suite():
    rows = [("trained encoder, mean", 0.3, 0.4), ("pooled 8x8 pixels", 0.6, 0.35)]
    scores = tuple(
        ProbeScores(
            features=name, width=128, knn=Measured(values=(knn,)), linear=Measured(values=(lin,))
        )
        for name, knn, lin in rows
    )
    task = ProbeTask(label="character", num_classes=25, chance=0.04, scores=scores)
    return ProbeSuite(num_train=300, num_test=100, num_splits=1, tasks=(task,))


@pytest.fixture
def measurement():
    """Makes a measurement of a task's result."""
    machine = Machine(processor="A & B", num_cores=2, device="CPU", versions={"torch": "2.13"})

    def make(task, result, **others):
        fields = {"settings": {"name": task}, "step": 400, "machine": machine, "seconds": 12.0}
        return Measurement(task=task, result=result, **(fields | others))

    return make


@pytest.fixture
def result(compared, suite, measurement):
    latents = latent_result(compared, num_clips=72, num_videos=9, mask_groups=["num_blocks=4 <b>"])
    return EvaluationResult(
        name="run <script>alert(1)</script> & co",
        measurements=(
            measurement("latent_prediction", latents),
            measurement("pen_strokes", probe_result(suite, pen_stroke_words)),
        ),
    )
