"""Numbers, tables and verdicts of decoded pixels."""

from collections.abc import Iterator, Sequence

from worldmodel_train.evaluation.bootstrap import spread_of_mean
from worldmodel_train.evaluation.decoding.decoded_scores import (
    COPIED,
    LINEAR,
    MEAN,
    TRUE_LATENTS,
    WHOLE_CLIPS,
    PixelScores,
)
from worldmodel_train.evaluation.task_result import (
    TRAINED,
    UNTRAINED,
    Column,
    Number,
    Row,
    Section,
    Table,
    TaskResult,
    Verdict,
    once,
)

_CLEAR = 2.0
"""Standard deviations by which a lead is no accident of these videos."""


def decoded_result(
    scores: Sequence[PixelScores], videos: Sequence[str], *, fitted_on: int
) -> TaskResult:
    """What there is to say without pictures; `videos` names each clip's."""
    return TaskResult(
        measured_on=f"{len(videos)} clips of {len(set(videos))} held-out videos; mean picture and "
        f"linear decoder fitted on {fitted_on} clips of the first source",
        caption="PSNR in dB, and SSIM, which is 1 at most: means over clips, higher is better.",
        numbers=tuple(number for one in scores for number in _numbers(one)),
        verdicts=tuple(_verdict(one, videos) for one in scores),
        sections=(
            Section(
                title="Latents as pixels",
                tables=tuple(_table(one, videos) for one in scores),
                notes=_NOTES,
            ),
        ),
    )


def _title(scores: PixelScores) -> str:
    return "decoded latents" if scores.of == WHOLE_CLIPS else f"decoded prediction of {scores.of}"


def _numbers(scores: PixelScores) -> Iterator[Number]:
    """The PSNR, and the SSIM where there is one."""
    for name, of_clips in {"PSNR": scores.psnr, "SSIM": scores.ssim}.items():
        means = {who: once(float(values.mean())) for who, values in of_clips.items()}
        if means:
            number = f"{name}, {_title(scores)}"
            yield Number(name=number, trained=means.pop(TRAINED), baselines=means)


def _verdict(scores: PixelScores, videos: Sequence[str]) -> Verdict:
    """Whether the trained decoder is ahead of the best rival, and by how much."""
    rivals = {name: p for name, p in scores.psnr.items() if name not in (TRAINED, TRUE_LATENTS)}
    best = max(rivals, key=lambda name: float(rivals[name].mean()))
    lead = scores.psnr[TRAINED] - rivals[best]
    mean, spread = float(lead.mean()), spread_of_mean(lead, videos)
    good = mean > _CLEAR * spread
    word = "ahead of" if good else "not clearly ahead of" if mean > 0 else "behind"
    title = _title(scores)
    return Verdict(
        good=good,
        claim=f"{title[0].upper()}{title[1:]}: {word} the {best}.",
        text=f"{mean:+.2f} dB, ± {spread:.2f} with other videos.",
    )


def _table(scores: PixelScores, videos: Sequence[str]) -> Table:
    """A row for each contender, with the trained one's lead clip by clip."""
    trained = scores.psnr[TRAINED]
    rows = tuple(
        Row(
            name=name.capitalize(),
            cells=(
                once(float(values.mean())),
                once(spread_of_mean(values, videos)),
                once(float((trained - values).mean())),
                once(spread_of_mean(trained - values, videos)),
            ),
            look="ours" if name == TRAINED else "plain",
        )
        for name, values in scores.psnr.items()
    )
    names = ("PSNR, dB", "With other videos, ±", "Trained is ahead by, dB", "± of that")
    title = _title(scores)
    return Table(
        caption=f"{title[0].upper()}{title[1:]}",
        corner="Who",
        columns=tuple(Column(name=name) for name in names),
        rows=rows,
    )


_NOTES = {
    "PSNR": "−10 log10 of the mean squared error of a clip's pixels from 0 to 1, averaged over "  # noqa: RUF001
    "clips. It rewards blur: where one cannot know, the mean of what may be scores best.",
    "SSIM": "Whether means, contrasts and shapes agree in windows of 11 pixels, 1 where they are "
    "the same. Frames of whole clips have one.",
    "Decoded latents": "All tokens of a clip, from the latents that the predictor's targets are.",
    "Decoded prediction": "Only tokens that were hidden, from what the predictor says of them, "
    "without the context beside them. The future is all tubelets after the first ones; masks in "
    "training need not be such.",
    TRUE_LATENTS.capitalize(): "The same tokens from their true latents: the most that this "
    "decoder makes of a perfect prediction.",
    UNTRAINED.capitalize(): "The decoder before its training, on the same latents.",
    MEAN.capitalize(): "The mean of all training clips, place by place.",
    LINEAR.capitalize(): "Ridge regression of a tubelet's pixels on its latent.",
    COPIED.capitalize(): "The last frame that was seen, held still.",
    "With other videos, ±": "Standard deviation over 1000 draws of the held-out videos with "
    "replacement.",
}
