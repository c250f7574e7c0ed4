import pytest

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
@pytest.mark.parametrize("capability", [80, 90, 100])
@pytest.mark.parametrize("patch", [14, 16])
@pytest.mark.parametrize("name", ["embed", "correlate"])
def test_kernels_fit_into_gpus_without_spilling(build_ahead, name, patch, capability, dtype):
    from worldmodel_kernels.tubelet_mask import triton_impl

    kernel = getattr(triton_impl, f"{name}_kernel")
    options = dict(getattr(triton_impl, name.upper())[4 if dtype == "fp32" else 2])
    constants = {"CHANNELS": 3, "FRAMES": 2, "PATCH": patch, "PRECISION": "ieee"}
    constants |= {x: options.pop(x) for x in ("BLOCK_M", "BLOCK_N", "BLOCK_P")}
    build = build_ahead(kernel, argument_types(dtype), constants, options, capability)
    assert build.fits, build
