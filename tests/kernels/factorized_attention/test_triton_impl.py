import pytest


def argument_types(kernel, dtype):
    from worldmodel_kernels.factorized_attention.triton_impl import GRADIENT_STRIDES, QKV_STRIDES

    types = {
        **dict.fromkeys(("qkv", "out", "gradient", "packed"), f"*{dtype}"),
        **dict.fromkeys(("places", "heads"), "i32"),
        "scale": "fp32",
        **dict.fromkeys((*QKV_STRIDES, *GRADIENT_STRIDES), "i32:16"),
    }
    del types["gradient_e"]  # 1, so a constant
    return {x: types[x] for x in kernel.arg_names if x in types}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dtype", "frames", "capability"),
    [
        *(("bf16", 64, capability) for capability in (80, 90, 100)),
        *(("fp32", 32, capability) for capability in (80, 100)),
        ("bf16", 5, 80),
        ("bf16", 16, 90),
        ("fp32", 16, 80),
    ],
)
@pytest.mark.parametrize("head_dim", [32, 64, 80])
@pytest.mark.parametrize("name", ["forward", "backward"])
def test_kernels_fit_into_gpus_without_spilling(
    build_ahead, name, head_dim, capability, dtype, frames
):
    from worldmodel_kernels.factorized_attention import triton_impl

    kernel = getattr(triton_impl, f"{name}_kernel")
    options = triton_impl.blocks_for(frames, head_dim, 4 if dtype == "fp32" else 2)
    constants = {"FRAMES": frames, "HEAD_DIM": head_dim, "PRECISION": "ieee", "CAUSAL": True}
    constants |= {x: options.pop(x) for x in ("LANES", "ROWS")}
    if name == "backward":
        constants["gradient_e"] = 1
    build = build_ahead(kernel, argument_types(kernel, dtype), constants, options, capability)
    assert build.fits, build
