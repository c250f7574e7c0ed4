"""Suggestions are close words, or everything that is known."""

from worldmodel_train.config.suggest import did_you_mean


def test_a_close_word_is_suggested_whatever_its_case():
    assert did_you_mean("Paek", ["start", "peak"]) == 'did you mean "peak"?'


def test_without_a_close_word_all_are_listed():
    assert did_you_mean("qqq", ["b", "a"]) == "known: a, b"


def test_where_nothing_is_known_nothing_is_suggested():
    assert did_you_mean("qqq", []) == "nothing is known here"
