import os
from functools import partial

import pytest
import torch

from benchmarks.one_by_one import in_a_line, one_by_one

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize("device", [CPU, pytest.param(CUDA, marks=pytest.mark.slow)])
def test_an_error_takes_nothing_from_the_cases_after_it(device, capsys):
    calls = {
        "first": partial(int, "1"),
        "bad": partial(torch.ones(2).view, 3),
        "last": partial(int, "3"),
    }
    found = dict(one_by_one(calls, device, threads=0))
    assert (found["first"], found["last"]) == (1, 3)
    assert in_a_line(found["bad"]).startswith("RuntimeError: shape '[3]' is invalid")
    assert "bench: bad failed" in capsys.readouterr().err


@pytest.mark.slow
def test_a_process_that_dies_is_an_error_of_its_case():
    calls = {"dies": partial(os._exit, 9), "last": partial(int, "3")}
    found = dict(one_by_one(calls, CUDA, threads=0))
    assert "BrokenProcessPool" in in_a_line(found["dies"])
    assert found["last"] == 3
