import subprocess
import sys

import pytest

WITHOUT_DECODERS = """
import sys
sys.modules |= dict.fromkeys(("av", "decord", "webdataset", "deepspeed"))
import benchmarks.__main__, benchmarks.kernels, benchmarks.memory, benchmarks.step
"""


@pytest.mark.slow
def test_kernels_steps_and_memory_are_measured_where_no_decoder_is_installed():
    found = subprocess.run(
        [sys.executable, "-c", WITHOUT_DECODERS], capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr
