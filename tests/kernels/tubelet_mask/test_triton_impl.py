import pytest

SHARED_BYTES = {80: 166912, 90: 232448}  # of a block: A100, H100
SIZES = ("rows", "kept", "width", "grid_t", "grid_h", "grid_w")


def argument_types(dtype):
    from worldmodel_kernels.tubelet_mask.triton_impl import STRIDES

    floats = ("weight", "bias", "tokens", "gradient", "product")
    return {
        "clips": "*u8",
        "index": "*i64",
        **dict.fromkeys(("mean", "std"), "*fp32"),
        **dict.fromkeys(floats, f"*{dtype}"),
        **dict.fromkeys((*SIZES, *STRIDES), "i32"),
    }


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["bf16", "fp16", "fp32"])
@pytest.mark.parametrize("capability", [80, 90])
@pytest.mark.parametrize("name", ["embed", "correlate"])
def test_kernels_fit_into_gpus_without_spilling(build_ahead, name, capability, dtype):
    from worldmodel_kernels.tubelet_mask import triton_impl

    kernel = getattr(triton_impl, f"{name}_kernel")
    options = dict(getattr(triton_impl, name.upper())[4 if dtype == "fp32" else 2])
    constants = {"CHANNELS": 3, "FRAMES": 2, "PATCH": 16, "PRECISION": "ieee"}
    constants |= {x: options.pop(x) for x in ("BLOCK_M", "BLOCK_N", "BLOCK_P")}
    build = build_ahead(kernel, argument_types(dtype), constants, options, capability)
    assert build.spilled == 0
    assert 0 < build.shared <= SHARED_BYTES[capability]
