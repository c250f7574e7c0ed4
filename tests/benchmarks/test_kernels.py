import json
import os

import pytest
import torch

from benchmarks import kernels
from benchmarks.kernel_cases import CASES, make_case, tubelet_mask
from benchmarks.kernel_cases.case import Bench
from benchmarks.results import IncorrectError

CPU = Bench(device=torch.device("cpu"), precision="fp32")
OTHERS = {
    "rope", "space_attention", "time_attention", "time_attention, causal",
    "frame_causal_attention", "ragged_attention",
}  # fmt: skip


@pytest.mark.slow
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


@pytest.mark.slow
def test_an_operation_that_differs_is_refused_and_the_others_are_told(
    bench, monkeypatch, capsys, tmp_path
):
    right = tubelet_mask.tubelet_mask
    monkeypatch.setattr(tubelet_mask, "tubelet_mask", lambda *args: right(*args) * 1.01)
    assert bench("kernels", "--rounds", "1") == 1
    assert "'Conv3d, then gather' is off by 9.9e-03" in capsys.readouterr().err
    (path,) = (tmp_path / "results").glob("*.json")
    content = json.loads(path.read_text())
    assert set(content["failures"]) == {"tubelet_mask, 25 % kept", "tubelet_mask, 100 % kept"}
    assert {case["op"] for case in content["numbers"]["cases"]} == OTHERS
    assert "not measured: tubelet_mask, 25 % kept" in path.with_suffix(".md").read_text()


def test_a_wrong_gradient_is_refused(monkeypatch):
    right = tubelet_mask.tubelet_mask

    def without_bias_gradient(clips, index, weight, bias, *rest):
        return right(clips, index, weight, bias.detach(), *rest) + 0 * bias

    monkeypatch.setattr(tubelet_mask, "tubelet_mask", without_bias_gradient)
    with pytest.raises(IncorrectError, match="the gradient 1 of"):
        kernels.measure_named("tubelet_mask, 25 % kept", CPU, 1)


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
    for name in CASES:
        case = make_case(name, CPU)
        (output, *_) = kernels._outputs(case.spellings["reference"])
        moved = output.nbytes + sum(leaf.nbytes for leaf in case.leaves)
        assert case.forward.bytes > 0.9 * moved
        assert case.backward.bytes > 0
