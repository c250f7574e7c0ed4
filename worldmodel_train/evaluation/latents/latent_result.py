"""Numbers, verdicts and sections of what two models score at predicting hidden latents."""

from collections.abc import Sequence
from math import isnan

from worldmodel_train.evaluation.latents.latent_scores import (
    Compared,
    LatentScores,
    PredictionScores,
)
from worldmodel_train.evaluation.shown import number, shown
from worldmodel_train.evaluation.task_result import (
    UNTRAINED,
    Column,
    Measured,
    Number,
    Row,
    Section,
    Table,
    TaskResult,
    Verdict,
    once,
)

EXPLAINED = "explained variance"


def latent_result(
    both: Compared, *, num_clips: int, num_videos: int, mask_groups: Sequence[str]
) -> TaskResult:
    """All but the pictures."""
    draws = len(both.trained.overall.predictor.values)
    return TaskResult(
        measured_on=f"{num_clips} clips of {num_videos} held-out videos, with {draws} draws of "
        "masks. Whether they show places that training has seen is a matter of the data: see its "
        "sources",
        caption="Explained variance: 1 is perfect, 0 as good as the mean latent; ± over draws of "
        "masks.",
        numbers=_numbers(both),
        verdicts=(_prediction_verdict(both), _rank_verdict(both)),
        sections=(
            _prediction_section(both, mask_groups, draws),
            _rank_section(both, num_clips),
        ),
    )


def _numbers(both: Compared) -> tuple[Number, ...]:
    trained, untrained = both.trained, both.untrained
    explained = {
        "mean latent": once(0.0),
        "copy nearest": trained.overall.copy_nearest,
        "place and clip mean": trained.overall.place_and_clip,
        UNTRAINED: untrained.overall.predictor,
    }
    fields = {
        "RankMe of clip means": "rankme",
        "RankMe of tokens": "token_rankme",
        "std per dimension": "dimension_std",
        "pairwise cosine": "pairwise_cosine",
    }
    spreads = (
        Number(
            name=name,
            unit="rank" if field.endswith("rankme") else "number",
            out_of=trained.width if field.endswith("rankme") else None,
            lower_is_better=field == "pairwise_cosine",
            trained=once(getattr(trained, field)),
            baselines={UNTRAINED: once(getattr(untrained, field))},
        )
        for name, field in fields.items()
    )
    return (
        Number(name=EXPLAINED, trained=trained.overall.predictor, baselines=explained),
        *spreads,
    )


def _with_other_videos(spread: float) -> str:
    if isnan(spread):
        return "One video was held out, so how it would vary with others is not known."
    return f"With other videos it would vary by ± {number(spread)}."


def _prediction_verdict(both: Compared) -> Verdict:
    trained, untrained = both.trained.overall, both.untrained.overall
    beats = "It also beats" if both.beats_place_and_clip else "It does not beat"
    return Verdict(
        good=both.learned,
        claim="It learned to predict." if both.learned else "It did not learn to predict.",
        text=f"The predictor explains {shown(trained.predictor)} of the variance of held-out "
        "target latents; the mean latent explains 0, copying the nearest visible token "
        f"{shown(trained.copy_nearest)}, the untrained model {shown(untrained.predictor)}. "
        f"{_with_other_videos(both.trained.over_videos)} {beats} the mean of "
        f"the place shifted by the clip, {shown(trained.place_and_clip)}, which knows the scene "
        "but nothing of motion.",
    )


def _rank_verdict(both: Compared) -> Verdict:
    trained, untrained = both.trained, both.untrained
    return Verdict(
        good=not both.collapsed,
        claim="The latents collapsed." if both.collapsed else "The latents did not collapse.",
        text=f"The effective rank of clips is {trained.rankme:.1f}, against {untrained.rankme:.1f} "
        f"before training, that of tokens {trained.token_rankme:.1f} against "
        f"{untrained.token_rankme:.1f}: a share of {number(both.rank_share)} at the least, where "
        "less than 0.5 counts as collapse.",
    )


def _prediction_section(both: Compared, mask_groups: Sequence[str], draws: int) -> Section:
    groups = range(len(mask_groups))
    definitions = {f"Mask group {group + 1}": mask_groups[group] for group in groups}
    return Section(
        title="Prediction of hidden latents",
        chart=EXPLAINED,
        tables=(
            Table(
                caption="Explained variance ± spread over draws of masks",
                corner="Who predicts",
                columns=(
                    Column(name="All masks"),
                    *(Column(name=f"Group {group + 1}") for group in groups),
                ),
                rows=_prediction_rows(both),
            ),
        ),
        notes=_prediction_notes(draws) | definitions,
    )


def _prediction_rows(both: Compared) -> tuple[Row, ...]:
    def cells(scores: LatentScores, name: str) -> tuple[Measured, ...]:
        every: tuple[PredictionScores, ...] = (scores.overall, *scores.groups)
        return tuple(getattr(one, name) for one in every)

    trained, untrained = both.trained, both.untrained
    zeros = tuple(once(0.0) for _ in cells(trained, "predictor"))
    return (
        Row(name="Trained predictor", cells=cells(trained, "predictor"), look="ours"),
        Row(name="Always the mean latent", cells=zeros),
        Row(name="Copy of the nearest visible token", cells=cells(trained, "copy_nearest")),
        Row(name="Mean of the place, shifted by the clip", cells=cells(trained, "place_and_clip")),
        Row(
            name="Untrained predictor, own latents",
            cells=cells(untrained, "predictor"),
            look="apart",
        ),
        Row(name="Copy, in untrained latents", cells=cells(untrained, "copy_nearest")),
        Row(
            name="Mean of the place, in untrained latents", cells=cells(untrained, "place_and_clip")
        ),
    )


def _prediction_notes(draws: int) -> dict[str, str]:
    return {
        "Explained variance": "1 − SSE / SST over all hidden tokens: SSE is the squared error of "  # noqa: RUF001
        "the predicted latents, SST that of always answering the mean target latent of these "
        "clips. 1 is perfect, 0 is no better than the mean, and below 0 is worse than the mean. "
        f"The spread is the standard deviation over {draws} draws of masks on the same clips "
        "(divisor one less than their number); it does not tell how another training run would do. "
        "“With other videos” is the standard deviation over 1000 draws of the held-out videos with "
        "replacement.",
        "Copy of the nearest visible token": "Each hidden token is answered with the target "
        "encoder's latent of the context token nearest to it in time, height and width. It sees "
        "the true latents, so beating it takes more than smoothness.",
        "Mean of the place, shifted by the clip": "The mean latent at the token's place over the "
        "clips of all other held-out videos, plus the clip's mean offset from such means over the "
        "tokens it shows. It learns nothing and knows the target encoder.",
        "“It learned”": "The trained predictor's mean less its spread lies above 0, above copying "
        "and above the untrained model, each with its spread added.",
    }


def _rank_section(both: Compared, num_clips: int) -> Section:
    def row(name: str, scores: LatentScores, *, ours: bool) -> Row:
        fields = (scores.rankme, scores.token_rankme, scores.dimension_std, scores.pairwise_cosine)
        return Row(name=name, cells=tuple(map(once, fields)), look="ours" if ours else "plain")

    width = both.trained.width
    return Section(
        title="Spread of the latents",
        tables=(
            Table(
                caption=f"Latents of the target encoder, {width} numbers each; clips stand for "
                "their mean latents",
                corner="Encoder",
                columns=(
                    Column(name="Rank of clips", unit="rank"),
                    Column(name="Rank of tokens", unit="rank"),
                    Column(name="Std per dimension"),
                    Column(name="Pairwise cosine"),
                ),
                rows=(
                    row("Trained", both.trained, ours=True),
                    row("Untrained", both.untrained, ours=False),
                ),
            ),
        ),
        notes={
            "Effective rank (RankMe)": "Exp of the entropy of the normalised singular values of "
            "the latents, not centred (Garrido et al. 2023): how many directions they use. Clips "
            f"have at most {min(width, num_clips)}; of tokens some 4096, spread over clips and "
            "places, are taken.",
            "Std per dimension": "Standard deviation over clips, averaged over dimensions; 0 is "
            "total collapse.",
            "Pairwise cosine": "Mean cosine between different clips; 1 means that all latents "
            "point one way.",
        },
    )
