"""The peak that MFU is a share of: by datasheet for known GPUs, measured for all other devices."""

import pytest
import torch

from worldmodel_train.training.gpus import GPUS, known_gpu
from worldmodel_train.training.peak import device_peak

CUDA = torch.device("cuda", 0)


@pytest.mark.parametrize(
    ("device", "name"),
    [
        ("NVIDIA H200", "h200"),
        ("NVIDIA H100 80GB HBM3", "h100"),
        ("NVIDIA A100-SXM4-40GB", "a100"),
        ("NVIDIA A100 80GB PCIe", "a100"),
        ("NVIDIA GeForce RTX 4090", "rtx4090"),
    ],
)
def test_a_gpu_is_known_by_the_name_that_cuda_gives_it(device, name):
    assert known_gpu(device) is GPUS[name]


@pytest.mark.parametrize(
    "device",
    ["NVIDIA H100 PCIe", "NVIDIA GeForce RTX 4090 Laptop GPU", "NVIDIA A100-SXM4-40GB MIG 1g.5gb"],
)
def test_slower_relatives_and_slices_are_not_taken_for_it(device):
    assert known_gpu(device) is None


def test_a_known_gpu_has_the_peak_of_the_precision_that_products_really_have(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA H200")
    assert device_peak(CUDA, "bf16").flops == 989e12
    assert "NVIDIA H200" in device_peak(CUDA, "bf16").origin
    assert device_peak(CUDA, "fp32").flops == 67e12
    monkeypatch.setattr(torch, "get_float32_matmul_precision", lambda: "high")
    assert device_peak(CUDA, "fp32").flops == 495e12


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_a_cpu_is_measured_once_and_no_generator_moves(precision):
    before = torch.get_rng_state()
    peak = device_peak(torch.device("cpu"), precision)
    assert 1e8 < peak.flops < 1e15
    assert "measured" in peak.origin
    assert device_peak(torch.device("cpu"), precision) is peak
    assert torch.equal(before, torch.get_rng_state())
