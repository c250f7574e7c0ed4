import pytest


def argument_types(dtype):
    from worldmodel_kernels.rope.triton_impl import STRIDES, TENSORS

    return {
        **dict.fromkeys(TENSORS, f"*{dtype}"),
        **dict.fromkeys(("cos", "sin"), "*fp32"),
        **dict.fromkeys(("rows", "tokens", "heads", "table_b"), "i32"),
        **{x: "i32:16" for x in STRIDES if x[-2:] != "_e"},
    }


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["bf16", "fp32"])
@pytest.mark.parametrize("capability", [80, 90, 100])
@pytest.mark.parametrize("width", [64, 80])
@pytest.mark.parametrize("backward", [False, True])
def test_the_kernel_fits_into_gpus_without_spilling(
    build_ahead, backward, width, capability, dtype
):
    from worldmodel_kernels.rope.triton_impl import blocks_for, turn_kernel

    options = blocks_for(width)
    constants = {"WIDTH": width, "BACKWARD": backward}
    constants |= {x: options.pop(x) for x in ("PADDED", "BLOCK_N", "BLOCK_H")}
    constants |= dict.fromkeys(("query_e", "key_e", "value_e"), 1)
    build = build_ahead(turn_kernel, argument_types(dtype), constants, options, capability)
    assert build.fits, build
    assert build.shared == 0  # partners are neighbours in one thread
