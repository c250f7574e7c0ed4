"""What a model scores at predicting hidden latents, and how its latents spread."""

from dataclasses import dataclass
from math import isnan

from worldmodel_train.evaluation.task_result import Measured, Record


class PredictionScores(Record):
    """Explained variance by the predictor, and by what learns nothing."""

    predictor: Measured
    copy_nearest: Measured
    place_and_clip: Measured


class LatentScores(Record):
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


@dataclass(frozen=True, kw_only=True)
class Compared:
    """Both models' scores on the same clips, and what follows from them."""

    trained: LatentScores
    untrained: LatentScores

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
