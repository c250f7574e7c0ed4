"""Numbers as people read them."""

from worldmodel_train.evaluation.task_result import Measured, Number, Unit


def shown(measured: Measured, unit: Unit = "number") -> str:
    """Mean and spread, as `0.123 ± 0.004` or `12.3 ± 0.4 %`; no spread where there is one value."""
    mean, spread = _bare(measured.mean, unit), _bare(measured.spread, unit)
    text = mean if len(measured.values) == 1 else f"{mean} ± {spread}"
    return f"{text} %" if unit == "percent" else text


def shown_of(measured: Measured, of: Number) -> str:
    """The same of one contender, with the most that there can be."""
    text = shown(measured, of.unit)
    return text if of.out_of is None else f"{text} of {of.out_of}"


def number(value: float) -> str:
    """Three decimals with a real minus sign; a dash for NaN."""
    return _bare(value, "number")


def _bare(value: float, unit: Unit) -> str:
    if value != value:
        return "–"  # noqa: RUF001
    scaled, decimals = 100 * value if unit == "percent" else value, _DECIMALS[unit]
    return f"{scaled:.{decimals}f}".replace("-", "−")  # noqa: RUF001


_DECIMALS: dict[Unit, int] = {"number": 3, "percent": 1, "rank": 1, "count": 0}
