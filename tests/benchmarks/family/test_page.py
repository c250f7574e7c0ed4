import pytest
import torch

from benchmarks.family.page import probed, write_page
from benchmarks.family.scores import Cost, Method, Scores
from worldmodel_train.evaluation.machine import describe_machine


def scores(level, *, cost=None, loss=None, rank=None):
    return Scores(
        probed={"shape": level, "speed": level + 0.2},
        energy={"other sample": 0.9, "time reversed": level},
        loss=loss,
        rank=rank,
        cost=cost,
    )


def method(name, *levels):
    cost = Cost(cpu_seconds=300.4, peak_bytes=1_500_000_000)
    return Method(
        recipe=f"{name}_films",
        method=f"jepa/{name}",
        steps=400,
        trained=[scores(level, cost=cost, loss=level / 2, rank=20.0) for level in levels],
        untrained=[scores(0.3) for _ in levels],
        pixels=scores(0.4),
    )


@pytest.fixture
def page(tmp_path):
    path = tmp_path / "docs" / "family.md"
    machine = describe_machine(torch.device("cpu"))
    write_page([method("one", 0.5, 0.7), method("other", 0.6, 0.8)], path, machine=machine)
    return path


def test_rows_go_from_the_best_probed_down_with_spreads_over_seeds(page):
    rows = [line for line in page.read_text().splitlines() if line.startswith("| `")]
    assert rows[0] == (
        "| `other_films` | 80.0 ± 14.1 | 40.0 ± 0.0 | 0.90 ± 0.00 | 0.70 ± 0.14 "
        "| 0.35 ± 0.07 | 20.0 ± 0.0 | 300 ± 0 | 1.5 ± 0.0 |"
    )
    assert rows[1].startswith("| `one_films` | 70.0 ± 14.1 |")


def test_every_row_of_a_table_has_as_many_cells_as_its_head(page):
    tables = [part.splitlines() for part in page.read_text().split("\n\n") if part.startswith("|")]
    assert len(tables) == 2
    for table in tables:
        assert len({line.count("|") for line in table}) == 1


def test_untrained_and_pixels_stand_below(page):
    lines = page.read_text().splitlines()
    assert any(line.startswith("| untrained, of `one_films` | 40.0 ± 0.0 |  |") for line in lines)
    assert any(line.startswith("| pixels | 50.0 |  | 0.90 | 0.40 |") for line in lines)


def test_the_page_says_how_much_was_trained_and_shows_its_picture(page):
    text = page.read_text()
    assert "2 methods" in text
    assert "400 steps" in text
    assert "2 seeds (mean ± deviation)" in text
    assert page.with_name("family.png").stat().st_size > 5000


def test_probed_is_the_mean_over_questions():
    assert probed(scores(0.5)) == pytest.approx(0.6)
