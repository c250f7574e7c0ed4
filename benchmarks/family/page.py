"""The page of the family: one table, one picture, and what they mean."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import fmean, stdev

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from benchmarks.family.scores import Method, Scores
from benchmarks.plots import COLORS
from worldmodel_train.data.atomic_file import write_atomically
from worldmodel_train.evaluation.result import Machine

PICTURE = "family.png"
_TEXT = Path(__file__).with_name("page.md")


def write_page(methods: Sequence[Method], page: Path, *, machine: Machine) -> None:
    """The page, and its picture beside it."""
    page.parent.mkdir(parents=True, exist_ok=True)
    _drawn(methods).savefig(page.parent / PICTURE, dpi=110)
    seeds = {len(method.trained) for method in methods}
    write_atomically(
        page,
        _TEXT.read_text()
        .format(
            methods=len(methods),
            steps=", ".join(str(n) for n in sorted({method.steps for method in methods})),
            seeds="One seed" if seeds == {1} else f"{max(seeds)} seeds (mean ± deviation)",
            machine=f"{machine.num_cores} cores of {machine.processor}, torch "
            f"{machine.versions['torch']}",
            questions=", ".join(methods[0].trained[0].probed),
            table="\n".join(_table(methods)),
            picture=PICTURE,
            questions_table="\n".join(_by_question(methods)),
        )
        .encode(),
    )


def probed(scores: Scores) -> float:
    """The mean over questions."""
    return fmean(scores.probed.values())


def _table(methods: Sequence[Method]) -> Iterator[str]:
    ways = list(methods[0].trained[0].energy)
    energies = [_energy(way) for way in ways]
    heads = [
        "probed",
        "untrained",
        *(f"energy AUC, {way}" for way in ways),
        "loss",
        "rank",
        "CPU s",
        "memory GB",
    ]
    yield _line("method", *heads)
    yield _line("---", *["---"] * len(heads))
    for method in sorted(methods, key=lambda one: -fmean(map(probed, one.trained))):
        costs = [scores.cost for scores in method.trained if scores.cost is not None]
        yield _line(
            f"`{method.recipe}`",
            _percent(map(probed, method.trained)),
            _percent(map(probed, method.untrained)),
            *(_plain(map(energy, method.trained)) for energy in energies),
            _plain([one.loss for one in method.trained if one.loss is not None]),
            _plain([one.rank for one in method.trained if one.rank is not None], digits=1),
            _plain([cost.cpu_seconds for cost in costs], digits=0),
            _plain([cost.peak_bytes / 1e9 for cost in costs], digits=1),
        )
    first = methods[0]
    yield _line(
        f"untrained, of `{first.recipe}`",
        _percent(map(probed, first.untrained)),
        "",
        *(_plain(map(energy, first.untrained)) for energy in energies),
        *["1.00", "", "", ""],
    )
    yield _line(
        "pixels",
        _percent([probed(first.pixels)]),
        "",
        *(_plain([energy(first.pixels)]) for energy in energies),
        *["", "", "", ""],
    )


def _by_question(methods: Sequence[Method]) -> Iterator[str]:
    questions = list(methods[0].trained[0].probed)
    yield _line("accuracy, %", *questions)
    yield _line("---", *["---"] * len(questions))
    rows = [(f"`{method.recipe}`", method.trained) for method in methods]
    rows += [("untrained", methods[0].untrained), ("pixels", [methods[0].pixels])]
    for name, scores in rows:
        yield _line(name, *(_percent(one.probed[asked] for one in scores) for asked in questions))


def _energy(way: str) -> Callable[[Scores], float]:
    return lambda scores: scores.energy[way]


def _drawn(methods: Sequence[Method]) -> Figure:
    """Methods as points: what probes read off them, against what their energy tells."""
    figure = Figure(figsize=(7.2, 5.0), layout="constrained")
    axis = figure.add_subplot()
    axis.margins(x=0.12, y=0.08)
    points = list[tuple[float, float, str, str]]()
    for number, method in enumerate(methods):
        across = [100 * probed(scores) for scores in method.trained]
        up = [fmean(scores.energy.values()) for scores in method.trained]
        color = COLORS[number % len(COLORS)]
        axis.scatter(across, up, color=color, s=28)
        points.append((fmean(across), fmean(up), method.recipe.removesuffix("_films"), color))
    first = methods[0]
    axis.axvline(100 * probed(first.pixels), color="#999999", linestyle="--", linewidth=1)
    axis.axvline(
        100 * fmean(map(probed, first.untrained)), color="#999999", linestyle=":", linewidth=1
    )
    axis.axhline(0.5, color="#999999", linewidth=1)
    axis.set_xlabel("linear probes, mean accuracy in % (dashed: pixels, dotted: untrained)")
    axis.set_ylabel("energy AUC, mean over kinds of pairs (line: chance)")
    figure.draw_without_rendering()  # then it is known where things are
    _name(axis, points)
    return figure


def _name(axis: Axes, points: Sequence[tuple[float, float, str, str]]) -> None:
    """Names beside points, on that side of four where they hide the least of other names."""
    sides = (((5, 4), "left"), ((5, -11), "left"), ((-5, 4), "right"), ((-5, -11), "right"))
    taken = list[Bbox]()
    for across, up, name, color in sorted(points):
        tried = [
            axis.annotate(
                name, (across, up), fontsize=8, color=color, ha=align,
                xytext=offset, textcoords="offset points",
            )
            for offset, align in sides
        ]  # fmt: skip
        boxes = [text.get_window_extent() for text in tried]
        hidden = [sum(box.overlaps(other) for other in taken) for box in boxes]
        best = hidden.index(min(hidden))
        taken.append(boxes[best])
        for number, text in enumerate(tried):
            if number != best:
                text.remove()


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _percent(values: Iterator[float] | Sequence[float]) -> str:
    return _plain([100 * value for value in values], digits=1)


def _plain(values: Iterator[float] | Sequence[float], *, digits: int = 2) -> str:
    """Mean and deviation over seeds; nothing where there are none."""
    found = list(values)
    if not found:
        return "–"  # noqa: RUF001
    mean = f"{fmean(found):.{digits}f}"
    return mean if len(found) == 1 else f"{mean} ± {stdev(found):.{digits}f}"
