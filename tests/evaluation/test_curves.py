import json
from xml.etree import ElementTree

import pytest

from worldmodel_train.evaluation.curves import draw_curves, draw_points, read_curves


def _write(run_dir, *lines):
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (run_dir / "metrics.jsonl").write_text(text)


def test_nested_numbers_become_curves_and_null_leaves_a_gap(tmp_path):
    _write(
        tmp_path,
        {"step": 1, "loss": 0.9, "monitors": {"target_rankme": 20.0}, "note": "x"},
        {"step": 11, "loss": None, "monitors": {"target_rankme": 18.0}},
        {"step": 21, "loss": 0.5, "monitors": {"target_rankme": 16.0}},
    )
    curves = read_curves(tmp_path)
    assert curves["loss"] == [(1, 0.9), (21, 0.5)]
    assert curves["monitors/target_rankme"] == [(1, 20.0), (11, 18.0), (21, 16.0)]
    assert set(curves) == {"loss", "monitors/target_rankme"}


def test_a_line_that_is_being_written_is_left_out_and_a_damaged_one_is_named(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1, "loss": 2.0}\n{"step": 2, "lo')
    assert read_curves(tmp_path) == {"loss": [(1, 2.0)]}
    for wrong in ("{", "[1]", "{}", '{"loss": 1.0}', '{"step": NaN}', '{"step": Infinity}'):
        path.write_text(f'{{"step": 1}}\n{wrong}\n{{"step": 3}}\n')
        with pytest.raises(ValueError, match=r"metrics\.jsonl, line 2: "):
            read_curves(tmp_path)


def test_a_run_without_metrics_has_no_curves(tmp_path):
    assert draw_curves(read_curves(tmp_path)) == []


def test_numbers_without_a_panel_are_drawn_too_and_single_points_are_not():
    curves = {"new": [(1, 2.0), (2, 3.0)], "loss": [(1, 1.0), (2, 0.5)], "once": [(1, 1.0)]}
    assert [drawing.title for drawing in draw_curves(curves)] == ["loss", "new"]


def test_drawings_take_the_colours_of_the_page_and_are_valid_xml():
    (drawing,) = draw_curves({"loss": [(1, 1.0), (2, 0.5)]})
    for svg in (drawing.svg, draw_points({"a & b": (0.1, 0.2)}, label="x < y")):
        ElementTree.fromstring(svg.replace("xlink:", ""))
        assert "currentColor" in svg
        assert "#010203" not in svg


def test_the_same_curve_is_drawn_alike_twice():
    curves = {"loss": [(1, 1.0), (2, 0.5)]}
    assert draw_curves(curves) == draw_curves(curves)


def test_a_hostile_name_of_a_number_becomes_a_harmless_title():
    (drawing,) = draw_curves({"$\\frac{\x1b</svg><script>": [(1, 1.0), (2, 0.5)]})
    ElementTree.fromstring(drawing.svg.replace("xlink:", ""))
    assert drawing.title == "$\\frac{\\x1b</svg><script>"
    assert "<script>" not in drawing.svg
