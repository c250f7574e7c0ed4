"""The image is not built here: that needs a container engine. What can be known without is."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "docker/Dockerfile"


def words(instruction: str) -> list[str]:
    lines = DOCKERFILE.read_text().replace("\\\n", " ").splitlines()
    return [word for x in lines if x.startswith(f"{instruction} ") for word in x.split()[1:]]


def test_hadolint_finds_nothing():
    program = Path(sys.executable).with_name("hadolint")
    if not program.exists():
        pytest.skip("hadolint is not installed beside this Python; `make setup` does that")
    found = subprocess.run([program, DOCKERFILE], capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout) == (0, "")


def test_what_is_copied_exists_and_is_not_ignored():
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    copied = {word for word in words("COPY") if not word.startswith(("./", "--", "/"))}
    assert {"constraints.txt", "pyproject.toml", "worldmodel_train", "recipes"} <= copied
    for name in copied:
        assert (ROOT / name).exists()
        assert f"!{name}" in ignored


def test_the_image_starts_wmt_as_an_ordinary_user():
    assert words("USER")[-1] == "1000"
    assert words("ENTRYPOINT") == ['["wmt"]']
