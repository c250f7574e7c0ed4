import re

import pytest

HEADS = 16


def argument_types(dtype, *, ragged):
    floats = ("q", "k", "v", "out", "gradient", "dq", "dk", "dv")
    return {
        **dict.fromkeys(floats, f"*{dtype}"),
        **dict.fromkeys(("lse", "delta"), "*fp32"),
        **dict.fromkeys(("starts", "lengths") if ragged else (), "*i64"),
        **dict.fromkeys(("rows", "longest", "frame"), "i32"),
        "scale": "fp32",
    }


def packed_strides(kernel, head_dim):
    """Those of queries, keys and values in one tensor."""
    strides = {"N": 3 * HEADS * head_dim, "H": head_dim}
    names = [x for x in kernel.arg_names if re.fullmatch(r"(Q|K|V|OUT|GRADIENT|D.)_(N|H)", x)]
    return {x: strides[x[-1]] for x in names}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dtype", "ragged", "capability"),
    [
        *(("bf16", False, capability) for capability in (80, 90, 100)),
        ("fp16", True, 90),
        *(("fp32", True, capability) for capability in (80, 100)),
    ],
)
@pytest.mark.parametrize("head_dim", [32, 64, 80])
@pytest.mark.parametrize("name", ["forward", "queries", "keys"])
def test_kernels_fit_into_gpus_without_spilling(
    build_ahead, name, head_dim, capability, dtype, ragged
):
    from worldmodel_kernels.segment_attention import triton_impl

    kernel = getattr(triton_impl, f"{name}_kernel")
    lanes = triton_impl.padded(head_dim)
    options = dict(getattr(triton_impl, name.upper())[4 if dtype == "fp32" else 2][lanes])
    constants = {"HEADS": HEADS, "HEAD_DIM": head_dim, "LANES": lanes, "PRECISION": "ieee"}
    constants |= {x: options.pop(x) for x in ("BLOCK_M", "BLOCK_N")}
    constants |= packed_strides(kernel, head_dim)
    if not ragged:
        constants |= dict.fromkeys(("starts", "lengths"))
    types = argument_types(dtype, ragged=ragged)
    build = build_ahead(kernel, types, constants, options, capability)
    assert build.fits
    assert build.shared > 0
