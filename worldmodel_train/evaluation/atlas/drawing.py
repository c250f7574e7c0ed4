"""Pictures of the atlas, as PNG."""

import io
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Shaped, UInt8
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.image import imsave
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from numpy import ndarray
from torch import Tensor

_LEAST_ARROW = 0.15  # share of followers


def picture(pixels: UInt8[Tensor, "h w 3"]) -> bytes:
    """These pixels."""
    buffer = io.BytesIO()
    imsave(buffer, pixels.numpy(), format="png")
    return buffer.getvalue()


def heat(values: Float[ndarray, "*b"]) -> UInt8[ndarray, "*b 3"]:
    """Colours, from black at 0 to bright at the highest value."""
    top = values.max()
    return (colormaps["inferno"](values / (top if top > 0 else 1))[..., :3] * 255).astype(np.uint8)


def scatter(
    points: Float[ndarray, "s 2"], colours: Shaped[ndarray, " s"], *, legend: Sequence[str] = ()
) -> bytes:
    """Points coloured by a number, or by a class of which `legend` has the names."""
    figure, axes = _axes()
    shade = "tab10" if legend else "viridis"
    ends = {"vmin": 0, "vmax": 9} if legend else {}
    drawn = axes.scatter(*points.T, c=colours.astype(float), s=5, cmap=shade, alpha=0.7, **ends)
    axes.set_xlabel("first main direction")
    axes.set_ylabel("second")
    if legend:
        for number, name in enumerate(legend):
            axes.scatter([], [], color=colormaps["tab10"](number), label=name)
        axes.legend(fontsize=7)
    else:
        figure.colorbar(drawn)
    return _png(figure)


def histogram(values: Float[ndarray, " s"]) -> bytes:
    """How often each strength is met, on a scale of powers."""
    figure, axes = _axes(height=2.2)
    axes.hist(values, bins=30, color="#0b62c4")
    axes.set_yscale("log")
    axes.set_xlabel("activation, where not 0")
    axes.set_ylabel("tokens")
    return _png(figure)


def lines(curves: Mapping[str, Float[ndarray, " window"]], ylabel: str) -> bytes:
    """Curves around a moment, in tubelets from it."""
    figure, axes = _axes()
    for number, (name, curve) in enumerate(curves.items()):
        reach = len(curve) // 2
        style = "-" if number == 0 else "--"
        axes.plot(range(-reach, reach + 1), curve, style, marker="o", markersize=3, label=name)
    axes.axvline(0, color="grey", linewidth=0.6)
    axes.set_xlabel("tubelets from the event")
    axes.set_ylabel(ylabel)
    axes.legend(fontsize=7)
    return _png(figure)


def pushes(
    curves: Mapping[str, Mapping[float, float]], bands: Mapping[str, Mapping[float, float]]
) -> bytes:
    """Effects by strength, over bands of what is reached by luck, whichever way."""
    figure, axes = _axes()
    for number, (name, band) in enumerate(bands.items()):
        heights = np.array([*band.values()])
        shade = {"color": f"{0.88 - 0.16 * number}", "zorder": 1 + number}
        axes.fill_between([*band], -heights, heights, label=name, **shade)
    for number, (name, curve) in enumerate(curves.items()):
        style = {"linestyle": "-" if number == 0 else "--", "zorder": 10}
        axes.plot([*curve], [*curve.values()], marker="o", markersize=3, label=name, **style)
    axes.set_xlabel("length of the push")
    axes.set_ylabel("change of what is read")
    axes.legend(fontsize=7)
    return _png(figure)


def transition_graph(
    places: Float[ndarray, "k 2"],
    shares: Float[ndarray, "k k"],
    examples: Sequence[UInt8[ndarray, "h w 3"]],
) -> bytes:
    """States as an example each, with an arrow to those that often follow."""
    figure, axes = _axes(width=7.0, height=6.0)
    for start, row in enumerate(shares):
        for end, share in enumerate(row):
            if start != end and share >= _LEAST_ARROW:
                style = {"arrowstyle": "-|>", "connectionstyle": "arc3,rad=0.15"}
                axes.annotate(
                    "",
                    xy=places[end].tolist(),
                    xytext=places[start].tolist(),
                    arrowprops=style | {"linewidth": 4 * share, "shrinkA": 22, "shrinkB": 22},
                )
    for number, (place, frame) in enumerate(zip(places, examples, strict=True)):
        image = OffsetImage(frame, zoom=36 / frame.shape[0])
        axes.add_artist(AnnotationBbox(image, place.tolist(), pad=0.1))
        axes.annotate(str(number), place.tolist(), xytext=(0, 22), textcoords="offset points")
    low, high = places.min(axis=0), places.max(axis=0)
    margin = 0.15 * (high - low) + 1e-6
    axes.set_xlim(low[0] - margin[0], high[0] + margin[0])
    axes.set_ylim(low[1] - margin[1], high[1] + margin[1])
    axes.set_xlabel("first main direction")
    axes.set_ylabel("second")
    return _png(figure)


def _axes(width: float = 4.2, height: float = 3.2):  # noqa: ANN202 - matplotlib's own types
    figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
    return figure, figure.add_subplot()


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
