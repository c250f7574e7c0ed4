"""What a reading of the monitors, and a look of the online probe, cost beside a training step.

`python -m benchmarks.reading [WIDTH ...]`. Encoder and predictor are two blocks deep, which no run
of such a width is, and the batch is small: the step is far cheaper than a real one, and the share
of its time an upper bound. The probe looks at one clip of the four, and at labels of 400 classes.
"""

import os
import sys

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch

from benchmarks.device import choose_device, describe, headline
from benchmarks.results import ResultTable, markdown, number, with_quartiles
from benchmarks.timing import interleaved
from benchmarks.training_step import OurStep, draw_setting, noisy_objective, run_step
from worldmodel_train.models.attention_entropy import attention_entropies
from worldmodel_train.probes.online import OnlineProbe, ProbedRows, cells_of
from worldmodel_train.recipe import Recipe, load_recipe
from worldmodel_train.training.config import LogConfig, OnlineProbeConfig
from worldmodel_train.training.evaluating import evaluating
from worldmodel_train.training.layouts.in_place import InPlace
from worldmodel_train.training.metrics.joined_rows import join_rows
from worldmodel_train.training.metrics.monitors import latent_monitors
from worldmodel_train.training.metrics.teacher_gap import squared_gap, student_names
from worldmodel_train.training.optim import build_optimizer

WIDTHS = (384, 1024, 1408)
EVERY, PROBED = LogConfig().every_steps, OnlineProbeConfig().every_steps
CLASSES = 400
ROUNDS = 5


def main() -> None:
    """Measures each width, and prints a table."""
    device = choose_device("cpu", threads=1)
    rows = [_row(int(width), device) for width in sys.argv[1:] or WIDTHS]
    headings = ("width", "step, ms", "reading, ms", "of that, latents", "attention",
                "RankMe by SVD, before, ms",
                f"share of the time, every {EVERY} steps", "online probe, ms",
                f"its share, every {PROBED} steps")  # fmt: skip
    table = ResultTable(title="A reading beside a step", headings=headings, rows=rows)
    sys.stdout.write(f"{markdown(table)}\n\n{headline(describe(device))}\n")


def _recipe(width: int) -> Recipe:
    """A V-JEPA 2 of this width, shallow, on a few small clips."""
    return load_recipe(
        "vjepa2_vits",
        [
            f"method.encoder.size={{width: {width}, depth: 2, heads: {width // 64}}}",
            "method.predictor.width=384", "method.predictor.depth=2", "method.predictor.heads=6",
            "data.sources.0.clip.frames=8", "data.augment.size=128",
            "train.micro_batch=4", "train.global_batch=4", "train.precision=fp32",
        ],
    )  # fmt: skip


def _row(width: int, device: torch.device) -> list[str]:
    recipe = _recipe(width)
    setting = draw_setting(recipe, device, num_batches=1)
    objective = noisy_objective(recipe)
    step = OurStep(setting, objective, compiled=False)
    layout = InPlace(
        objective,
        objective.ema_pairs(),
        build_optimizer(objective.parameter_groups(), recipe.optim),
    )
    losses = objective.training_losses(setting.batches[0])
    losses.total.backward()
    students = student_names(objective, objective.ema_pairs())

    def latents() -> object:
        return latent_monitors(join_rows(losses.latents, losses.samples))

    batch = setting.batches[0].groups[0].clips

    def entropies() -> object:
        with evaluating(objective):
            return attention_entropies(objective, lambda: objective.encode(batch[:2]))

    def reading() -> object:
        layout.watch_parts()
        gap = squared_gap(layout, students)
        return latents(), gap, layout.part_norms(), entropies()

    def before() -> object:
        joined = join_rows(losses.latents, losses.samples)
        return [torch.linalg.svdvals(rows.latents.double()) for rows in joined.values()]

    probe, clips = OnlineProbe(CLASSES), batch[:1]

    def look() -> None:
        with evaluating(objective):
            latents = objective.encode(clips).mean(dim=1)
        labels = torch.zeros(1, dtype=torch.int64, device=device)
        probe.take(ProbedRows(latents=latents, pixels=cells_of(clips), labels=labels))

    # a step takes the gradients away, so parts have none to measure if it comes first
    calls = {
        "reading": reading, "latents": latents, "entropies": entropies, "before": before,
        "look": look,
    }  # fmt: skip
    found = interleaved(calls, device, rounds=ROUNDS)
    found |= interleaved({"step": lambda: run_step(step, 1)}, device, rounds=ROUNDS)
    shares = [
        found[name].seconds.median / (every * found["step"].seconds.median)
        for name, every in (("reading", EVERY), ("look", PROBED))
    ]
    shown = [
        with_quartiles(found[name].seconds.map(lambda seconds: 1e3 * seconds))
        for name in ("step", "reading", "latents", "entropies", "before", "look")
    ]
    of_reading, of_look = (f"{number(100 * share)} %" for share in shares)
    return [str(width), *shown[:-1], of_reading, shown[-1], of_look]


if __name__ == "__main__":
    main()
