"""What an evaluation found: numbers and the names of its pictures, kept as `evaluation.json`."""

import os
from math import isnan, sqrt
from pathlib import Path
from statistics import fmean
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from worldmodel_train.config.json_text import JsonError, parse_model
from worldmodel_train.config.plain_file import PlainFileError, read_plain

RESULT_FILE = "evaluation.json"
_LARGEST = 1 << 28  # bytes


class _Record(BaseModel):
    # NaN (nothing to explain) is written as the string "NaN": bare NaN is not JSON
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


class Measured(_Record):
    """One number measured several times: over mask draws, or over splits."""

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """The mean of the values."""
        return fmean(self.values)

    @property
    def spread(self) -> float:
        """The standard deviation of the values (divisor: one less than their number); 0 for one."""
        squares = sum((value - self.mean) ** 2 for value in self.values)
        return sqrt(squares / max(1, len(self.values) - 1))


class PredictionScores(_Record):
    """Explained variance by the predictor, and by copying the nearest visible token."""

    predictor: Measured
    copy_nearest: Measured
    place_and_clip: Measured


class LatentScores(_Record):
    """What one model scores on the held-out clips."""

    overall: PredictionScores
    groups: tuple[PredictionScores, ...]
    """The same for each mask group by itself."""
    over_videos: float
    """Standard deviation of the overall explained variance over bootstraps of the videos."""
    width: int
    """Numbers in one latent."""
    rankme: float
    """Effective rank of the clips' mean latents."""
    token_rankme: float
    """Effective rank of single tokens' latents."""
    dimension_std: float
    """Mean over dimensions of the standard deviation of the clips' mean latents."""
    pairwise_cosine: float
    """Mean cosine between different clips' mean latents."""


TRAINED, UNTRAINED = "trained encoder", "untrained encoder"


class ProbeScores(_Record):
    """Accuracies of both probes on one kind of features."""

    features: str
    """Starts with the encoder's name where an encoder made them."""
    width: int
    knn: Measured
    linear: Measured


class ProbeTask(_Record):
    """One label to read off the features."""

    label: str
    num_classes: int
    chance: float
    """Share of the commonest class."""
    scores: tuple[ProbeScores, ...]

    @property
    def best(self) -> dict[str, str]:
        """For each probe the features it does best with."""
        return {
            "knn": _best({row.features: row.knn for row in self.scores}),
            "linear": _best({row.features: row.linear for row in self.scores}),
        }

    @property
    def verdicts(self) -> tuple[str, ...]:
        """For each probe a sentence on trained against all other features, sparing nobody."""
        return (
            _verdict("k-NN", {row.features: row.knn for row in self.scores}),
            _verdict("Linear", {row.features: row.linear for row in self.scores}),
        )


def _verdict(probe: str, accuracies: dict[str, Measured]) -> str:
    ours = _best({k: v for k, v in accuracies.items() if k.startswith(TRAINED)})
    rival = _best({k: v for k, v in accuracies.items() if not k.startswith(TRAINED)})
    gain = accuracies[ours].mean - accuracies[rival].mean
    spread = accuracies[ours].spread + accuracies[rival].spread
    outcome = "training wins" if gain > spread else "training does not win"
    if 0 < gain <= spread:
        outcome += " beyond the spread"
    return (
        f"{probe}: {outcome}; the best trained features name {100 * accuracies[ours].mean:.1f} % "
        f"rightly, the best others ({rival}) {100 * accuracies[rival].mean:.1f} %."
    )


def _best(accuracies: dict[str, Measured]) -> str:
    return max(accuracies, key=lambda features: accuracies[features].mean)


class ProbeSuite(_Record):
    """All probes on one labelled set."""

    num_train: int
    num_test: int
    num_splits: int
    tasks: tuple[ProbeTask, ...]


class Picture(_Record):
    """A picture of the report."""

    kind: str
    """Section of the report: `masks`, `features` or `neighbours`."""
    title: str
    file: Annotated[str, Field(pattern=r"^(\w[\w.-]*/)*\w[\w.-]*$")]
    """Path below the run directory, and never out of it."""
    width: int
    height: int


class Machine(_Record):
    """Where and with what the evaluation ran."""

    processor: str
    num_cores: int
    device: str
    versions: dict[str, str]


class EvaluationResult(_Record):
    """Everything the report tells, except curves and recipe, which the run directory holds."""

    name: str
    num_clips: int
    num_videos: int
    mask_seeds: tuple[int, ...]
    mask_groups: tuple[str, ...]
    trained: LatentScores
    untrained: LatentScores
    probes: ProbeSuite | None
    pictures: tuple[Picture, ...]
    machine: Machine
    seconds: float

    @property
    def learned(self) -> bool:
        """Whether the predictor beats mean, copying and the untrained model beyond the spread."""
        trained, untrained = self.trained.overall, self.untrained.overall
        rivals = (trained.copy_nearest, untrained.predictor)
        worst = trained.predictor.mean - trained.predictor.spread
        return worst > max(0.0, *(rival.mean + rival.spread for rival in rivals))

    @property
    def rank_share(self) -> float:
        """The trained encoder's rank over the untrained one's, of clips or tokens, the lesser."""
        clips = self.trained.rankme / self.untrained.rankme
        tokens = self.trained.token_rankme / self.untrained.token_rankme
        return float("nan") if isnan(clips + tokens) else min(clips, tokens)

    @property
    def beats_place_and_clip(self) -> bool:
        """Whether the predictor also beats what is usual at the place, shifted by the clip."""
        overall = self.trained.overall
        return overall.predictor.mean > overall.place_and_clip.mean

    @property
    def collapsed(self) -> bool:
        """Whether the rank fell below half the untrained encoder's."""
        return not self.rank_share >= 0.5


def save_result(result: EvaluationResult, run_dir: Path) -> Path:
    """The path of the written `evaluation.json`, replaced in one step and never half written."""
    path = run_dir / RESULT_FILE
    temporary = path.with_name(f".{RESULT_FILE}.{os.getpid()}")
    temporary.write_text(result.model_dump_json(indent=2) + "\n", encoding="utf-8")
    temporary.replace(path)
    return path


def load_result(run_dir: Path) -> EvaluationResult:
    """The result in `run_dir`.

    Raises:
        ValueError: The file is damaged, or of another version of this program.
    """
    path = run_dir / RESULT_FILE
    try:
        return parse_model(EvaluationResult, read_plain(path, _LARGEST), path)
    except (JsonError, PlainFileError) as error:
        raise ValueError(f"{error}; measure the run again with `wmt report`") from None
