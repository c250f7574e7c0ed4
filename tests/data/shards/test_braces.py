"""Braces become names, and too many of them one line."""

import tracemalloc

import pytest

from worldmodel_train.data.shards.braces import MAX_SHARDS, expand_braces, expand_ranges


def test_lists_and_ranges_multiply_in_order():
    assert list(expand_braces("{a,b}/{08..10}.tar")) == [
        f"{folder}/{number}.tar" for folder in "ab" for number in ("08", "09", "10")
    ]
    assert list(expand_ranges("{a,b}/{0..1}")) == ["{a,b}/0", "{a,b}/1"]
    assert list(expand_braces("no braces")) == ["no braces"]


@pytest.mark.parametrize(
    ("pattern", "count"),
    [
        ("{0..9999999999}.tar", "10,000,000,000"),
        ("{0..1099511627775}", "1,099,511,627,776"),
        ("{0..99999}/{0..99999}.tar", "10,000,000,000"),
        ("{0..9}" * 40, "about 1e40"),
        ("{0..9}" * 5000, "about 1e5000"),
        ("{a,b}" * 40, "1,099,511,627,776"),
        ("{a,b}{0..1999999}", "4,000,000"),
    ],
)
def test_too_many_are_refused_with_the_count_and_the_limit_before_any_is_made(pattern, count):
    tracemalloc.start()
    for expand in (expand_braces, expand_ranges) if "," not in pattern else (expand_braces,):
        with pytest.raises(ValueError, match=f"are {count}; a source has {MAX_SHARDS:,} at most"):
            expand(pattern)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20


def test_a_range_that_a_list_completes_is_counted_as_well():
    with pytest.raises(ValueError, match="are 10,000,000,000; a source has"):
        next(expand_braces("{{0,1}..9999999999}"))


def test_endless_digits_are_refused():
    with pytest.raises(ValueError, match="numbers of more than 18 digits"):
        expand_braces("{0.." + "9" * 5000 + "}")


def test_a_range_from_high_to_low_names_nothing_and_says_so():
    with pytest.raises(ValueError, match=r"'\{9\.\.0\}\.tar' are none"):
        expand_braces("{9..0}.tar")


@pytest.mark.parametrize("pattern", ["{0..0}" * 1500, "{" * 1200 + "a,b}" + ",c}" * 1199])
def test_braces_without_end_are_refused(pattern):
    for expand in (expand_braces, expand_ranges):
        with pytest.raises(ValueError, match="more than 100 braces"):
            expand(pattern)
