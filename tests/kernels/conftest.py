import re
import subprocess
from dataclasses import dataclass, field

import pytest
import torch


@pytest.fixture(scope="module")
def poison():
    """Memory that nobody wrote is NaN."""
    torch.use_deterministic_algorithms(mode=True)
    assert torch.empty(8).isnan().all()
    assert torch.ones(1).new_empty(8).isnan().all()
    yield
    torch.use_deterministic_algorithms(mode=False)


@pytest.fixture(scope="session")
def assert_close():
    """Output and gradients have small distances from their float64 definitions.

    Relative to the norm of the definition or, where that is larger, to that of the output: if
    tokens see only themselves, queries and keys have no gradient.
    """

    def check(results, definition, tolerance):
        for result, expected in zip(results, definition, strict=True):
            assert result.shape == expected.shape
            error = (result.detach().double() - expected).norm()
            assert error <= tolerance * expected.norm().clamp_min(definition[0].norm())

    return check


SHARED_BYTES = {80: 166912, 90: 232448, 100: 232448}  # of a block: A100, H100, B200


@dataclass(frozen=True)
class Build:
    """What a kernel takes of a GPU, in bytes."""

    shared: int
    spilled: int
    capability: int
    ptx: str = field(repr=False)

    @property
    def fits(self):
        """Whether a block has this much shared memory, and every variable a register."""
        return self.shared <= SHARED_BYTES[self.capability] and self.spilled == 0


@pytest.fixture
def build_ahead(tmp_path, monkeypatch):
    """Compiles a kernel for a GPU that is not here, and asks ptxas what it spills."""
    triton = pytest.importorskip("triton", reason="Triton has no package for this platform")
    from triton.backends.compiler import GPUTarget
    from triton.backends.nvidia.compiler import get_ptxas
    from triton.compiler import ASTSource

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path / "cache"))

    def build(kernel, types, constants, options, capability):
        """`types` names every argument that is not a constant; i32:16 is a multiple of 16."""
        types = {name: types.get(name, "constexpr") for name in kernel.arg_names}
        multiples = [i for i, x in enumerate(types.values()) if x[0] == "*" or x.endswith(":16")]
        aligned = {(i,): [["tt.divisibility", 16]] for i in multiples}
        types = {name: x.removesuffix(":16") for name, x in types.items()}
        source = ASTSource(kernel, types, constants, aligned)
        target = GPUTarget("cuda", capability, 32)
        program = triton.compile(source, target=target, options=options)
        ptx = tmp_path / "kernel.ptx"
        ptx.write_text(program.asm["ptx"])
        gpu = f"--gpu-name=sm_{capability}{'a' if capability >= 90 else ''}"
        command = [get_ptxas(capability).path, "-v", gpu, ptx, "-o", tmp_path / "kernel.cubin"]
        said = subprocess.run(command, check=True, capture_output=True, text=True).stderr
        spills = re.findall(r"(\d+) bytes spill", said)
        assert len(spills) == 2, said  # stores and loads
        return Build(program.metadata.shared, sum(map(int, spills)), capability, program.asm["ptx"])

    return build
