import os

import pytest
import torch

from benchmarks import kernels
from benchmarks.kernel_cases import make_cases, tubelet_mask
from benchmarks.kernel_cases.case import Bench

CPU = Bench(device=torch.device("cpu"), precision="fp32")


def test_the_command_reports_references_on_a_cpu(bench, tmp_path):
    content = bench("kernels", "--rounds", "1")
    cases = content["numbers"]["cases"]
    assert {case["op"] for case in cases} >= {"tubelet_mask"}
    for case in cases:
        assert "reference" in case["spellings"]
        assert "triton" not in case["spellings"]
        assert case["floor_s"] > 0
    (page,) = (tmp_path / "results").glob("*.md")
    assert "Triton's kernels run on CUDA alone and were NOT measured" in page.read_text()


def test_an_operation_that_differs_is_refused(bench, monkeypatch, capsys):
    right = tubelet_mask.tubelet_mask
    monkeypatch.setattr(tubelet_mask, "tubelet_mask", lambda *args: right(*args) * 1.01)
    assert bench("kernels", "--rounds", "1") == 1
    assert "'Conv3d, then gather' is off by 9.9e-03" in capsys.readouterr().err


def test_a_wrong_gradient_is_refused(bench, monkeypatch, capsys):
    right = tubelet_mask.tubelet_mask

    def without_bias_gradient(clips, index, weight, bias, *rest):
        return right(clips, index, weight, bias.detach(), *rest) + 0 * bias

    monkeypatch.setattr(tubelet_mask, "tubelet_mask", without_bias_gradient)
    assert bench("kernels", "--rounds", "1") == 1
    assert "the gradient 1 of" in capsys.readouterr().err


def test_unknown_precisions_are_refused(bench):
    assert bench("kernels", "--precision", "fp8") == 2


@pytest.mark.parametrize("before", [None, "auto"])
def test_the_choice_of_kernels_is_put_back(monkeypatch, before):
    monkeypatch.delenv("WMT_KERNELS", raising=False)
    if before:
        monkeypatch.setenv("WMT_KERNELS", before)
    seen = []
    for spelling in CPU.by_choice(lambda: seen.append(os.environ["WMT_KERNELS"])).values():
        spelling()
    assert seen == ["reference"]
    assert os.environ.get("WMT_KERNELS") == before


def test_cases_count_their_work():
    for case in make_cases(CPU):
        (output, *_) = kernels._outputs(case.spellings["reference"])
        moved = output.nbytes + sum(leaf.nbytes for leaf in case.leaves)
        assert case.forward.bytes > 0.9 * moved
        assert case.backward.bytes > 0
