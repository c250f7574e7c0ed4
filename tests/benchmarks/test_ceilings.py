import torch

from benchmarks.ceilings import Ceilings, Work, measure_ceilings
from benchmarks.timing import Spread


def test_the_floor_is_whichever_ceiling_binds():
    ceilings = Ceilings(matmul={"fp32": Spread.of([100.0])}, copy=Spread.of([10.0]))
    assert ceilings.floor_s(Work(flops=1000.0, bytes=10.0), "fp32") == 10.0
    assert ceilings.floor_s(Work(flops=100.0, bytes=100.0), "fp32") == 10.0


def test_ceilings_are_measured_for_each_precision(quick):
    ceilings = measure_ceilings(torch.device("cpu"), ["fp32", "bf16"], rounds=2)
    assert set(ceilings.matmul) == {"fp32", "bf16"}
    assert min(*ceilings.copy, *ceilings.matmul["fp32"], *ceilings.matmul["bf16"]) > 0
