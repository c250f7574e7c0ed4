import re

import pytest
import torch

SIZES = ("rows", "kept", "width", "grid_t", "grid_h", "grid_w")


def argument_types(dtype):
    from worldmodel_kernels.tubelet_mask.triton_impl import STRIDES

    floats = ("weight", "bias", "tokens", "gradient", "product")
    return {
        "clips": "*u8",
        **dict.fromkeys(("index", "starts"), "*i64"),
        **dict.fromkeys(("mean", "std"), "*fp32"),
        **dict.fromkeys(floats, f"*{dtype}"),
        **dict.fromkeys((*SIZES, *STRIDES), "i32"),
    }


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["bf16", "fp16", "fp32"])
@pytest.mark.parametrize("capability", [80, 90, 100])
@pytest.mark.parametrize("patch", [14, 16])
@pytest.mark.parametrize("name", ["embed", "correlate"])
def test_kernels_fit_into_gpus_without_spilling(build_ahead, name, patch, capability, dtype):
    from worldmodel_kernels.tubelet_mask import triton_impl

    kernel = getattr(triton_impl, f"{name}_kernel")
    options = dict(getattr(triton_impl, name.upper())[4 if dtype == "fp32" else 2])
    constants = {"CHANNELS": 3, "FRAMES": 2, "PATCH": patch, "PRECISION": "ieee"}
    constants |= {"PACKED": True, "ALIGNED": 16 if patch == 16 else 2}
    constants |= {x: options.pop(x) for x in ("BLOCK_M", "BLOCK_N", "BLOCK_P")}
    build = build_ahead(kernel, argument_types(dtype), constants, options, capability)
    assert build.fits, build
    # a division of 64 bits takes a hundred instructions, and a byte a load of its own
    assert not re.findall(r"(div|rem)\.[su]64|ld\.global[^;]*\.[bu]8\s", build.ptx)


@pytest.mark.slow
@pytest.mark.parametrize("capability", [80, 90, 100])
def test_the_kernel_that_finds_tubelets_fits_as_well(build_ahead, capability):
    from worldmodel_kernels.tubelet_mask import triton_impl

    constants = {"FRAMES": 2, "PATCH": 16, "BLOCK": triton_impl.STARTS_BLOCK}
    types = argument_types("bf16")
    assert build_ahead(triton_impl.starts_kernel, types, constants, {}, capability).fits


@pytest.mark.parametrize(
    ("clips", "patch", "aligned"),
    [
        (torch.empty(1, 2, 32, 32, 3, dtype=torch.uint8), 16, 16),
        (torch.empty(1, 2, 28, 28, 3, dtype=torch.uint8), 14, 2),
        (torch.empty(1, 2, 32, 36, 3, dtype=torch.uint8), 16, 4),
        (torch.empty(64 * 64, dtype=torch.uint8)[1:].view(-1)[:3072].view(1, 1, 32, 32, 3), 16, 1),
        (torch.empty(1, 3, 2, 32, 32, dtype=torch.uint8).permute(0, 2, 3, 4, 1), 16, 1),
    ],
)
def test_lines_are_read_by_as_many_bytes_as_all_of_them_are_aligned_to(clips, patch, aligned):
    triton_impl = pytest.importorskip("worldmodel_kernels.tubelet_mask.triton_impl")
    index, statistics = torch.zeros(1, 1, dtype=torch.int64), torch.ones(3)
    tubelets = triton_impl.Tubelets(clips, index, statistics, statistics, 1, patch)
    assert tubelets.aligned == aligned
