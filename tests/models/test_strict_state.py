import pytest

from worldmodel_train.models.strict_state import (
    MAX_LINES,
    CheckpointError,
    differences,
    refuse_differences,
)


def test_equal_shapes_have_no_differences():
    shapes = {"a": (1, 2), "b": ()}
    assert differences(shapes, dict(shapes)) == []
    refuse_differences("file", [])


def test_missing_extra_and_misshaped_are_named_apart():
    paragraphs = differences({"a": (1,), "b": (2, 3)}, {"b": (3, 2), "c": ()})
    assert paragraphs == [
        "  missing (1):\n    a 1",
        "  extra (1):\n    c scalar",
        "  mis-shaped (1):\n    b: file has 3x2, model needs 2x3",
    ]
    with pytest.raises(CheckpointError, match="file does not fit the model"):
        refuse_differences("file", paragraphs)


def test_long_lists_are_cut_and_counted():
    (paragraph,) = differences({f"t{i}": (1,) for i in range(100)}, {})
    assert len(paragraph.splitlines()) == MAX_LINES + 2
    assert paragraph.endswith(f"... and {100 - MAX_LINES} more")
