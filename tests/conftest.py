import os
from pathlib import Path

import numpy as np
import pygame  # noqa: F401  # after decord, whose libraries hide its own, it reads no pictures
import pytest
import torch
from jaxtyping import install_import_hook

ROOT = Path(__file__).parents[1]


def _modules_that_name_shapes():
    """Checks take more time than what they check, so other modules go without."""
    files = [
        file.relative_to(folder)
        for folder in (ROOT, ROOT / "kernels")
        for file in folder.glob("worldmodel_*/**/*.py")
        if "from jaxtyping import" in file.read_text()
    ]
    return [".".join(file.with_suffix("").parts).removesuffix(".__init__") for file in files]


install_import_hook(_modules_that_name_shapes(), "beartype.beartype")


@pytest.fixture(autouse=True)
def _nothing_compiled_before(request):
    """The wrappers of shape checks are one function to torch.compile, with room for few graphs."""
    if request.node.get_closest_marker("compile") is not None:
        torch.compiler.reset()


@pytest.fixture(scope="module")
def interpreter():
    """Triton as a program whose kernels run on the CPU: that is fixed when it is imported."""
    if os.environ.get("TRITON_INTERPRET") != "1":
        pytest.fail("tests marked interpret need TRITON_INTERPRET=1 from the start")
    _skip_where_arrays_are_no_index()


def _skip_where_arrays_are_no_index():
    """Triton's issue 9171: its interpreter takes int() of arrays of one dimension."""
    triton = pytest.importorskip("triton", reason="Triton has no package for this platform")
    versions = [tuple(map(int, x.split(".")[:2])) for x in (triton.__version__, np.__version__)]
    if versions[0] < (3, 7) and versions[1] >= (2, 4):
        pytest.skip(
            f"the interpreter of Triton {triton.__version__} does not run beside numpy "
            f"{np.__version__}: use Triton 3.7 or numpy < 2.4"
        )
