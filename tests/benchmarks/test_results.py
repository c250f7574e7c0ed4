import pytest

from benchmarks.device import slug
from benchmarks.results import ResultTable, markdown, number


@pytest.mark.parametrize(
    ("value", "text"), [(3621.4, "3,621"), (99.96, "100"), (1.0, "1"), (0.05561, "0.0556")]
)
def test_numbers_are_read_without_exponents(value, text):
    assert number(value) == text


def test_markdown_has_every_row_and_the_notes():
    table = ResultTable(
        title="T", headings=["a", "b"], rows=[["1", "2"], ["3", "4"]], notes=["x", "y"]
    )
    assert markdown(table).splitlines() == [
        "**T**", "", "| a | b |", "|---|---|", "| 1 | 2 |", "| 3 | 4 |", "", "x; y.",
    ]  # fmt: skip


def test_the_device_names_the_file():
    assert slug({"device": "NVIDIA H200 (141 GB)"}) == "nvidia_h200_141_gb"
