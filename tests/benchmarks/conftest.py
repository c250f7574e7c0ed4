import json
import sys

import pytest

from benchmarks import __main__ as command
from benchmarks import ceilings, kernels

TINY = (
    "method.encoder.size.width=48", "method.encoder.size.depth=1", "method.encoder.size.heads=2",
    "method.predictor.width=24", "method.predictor.depth=1",
    "train.micro_batch=2", "train.global_batch=2",
)  # fmt: skip


@pytest.fixture
def tiny():
    """Overrides that make the demo a matter of moments."""
    return TINY


@pytest.fixture
def quick(monkeypatch):
    """Ceilings of small matrices, and single calls."""
    monkeypatch.setattr(ceilings, "MATMUL_SIDES", {"cpu": (16, 32)})
    monkeypatch.setattr(ceilings, "COPY_BYTES", {"cpu": 1 << 12})
    monkeypatch.setattr(kernels, "LEAST_S", {"cpu": 0.0})


@pytest.fixture
def bench(quick, monkeypatch, tmp_path):
    """Runs `python -m benchmarks` in this process: what it wrote, or its exit code."""

    def run(*arguments):
        line = ["bench", *arguments, "--results", str(tmp_path / "results")]
        monkeypatch.setattr(sys, "argv", line)
        with pytest.raises(SystemExit) as ended:
            command.main()
        written = sorted((tmp_path / "results").glob("*"))
        kinds = {path.suffix: path for path in written}
        if ended.value.code:
            reported = json.loads(kinds[".json"].read_text()) if written else {"failures": "all"}
            assert reported["failures"], "a refused benchmark reported a number in silence"
            return ended.value.code
        assert set(kinds) == {".json", ".md", ".png"}
        assert kinds[".png"].stat().st_size > 5_000
        assert kinds[".md"].read_text().startswith("**")
        return json.loads(kinds[".json"].read_text())

    return run
