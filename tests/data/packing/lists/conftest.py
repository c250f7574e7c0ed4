import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from worldmodel_train.cli.data import app
from worldmodel_train.data.packing.sample import SampleInfo
from worldmodel_train.data.shards.resolve import resolve_shards
from worldmodel_train.data.shards.shard_set import ShardSet
from worldmodel_train.data.shards.wanted_files import DESCRIBED_VIDEOS
from worldmodel_train.data.source_config import ClipConfig, SourceConfig


@dataclass(frozen=True)
class Packed:
    """What a set holds, as training finds it."""

    infos: list[SampleInfo]
    classes: list[str]
    rejects: dict[str, str]

    @property
    def labels(self) -> dict[str, str | None]:
        return {info.source: info.label for info in self.infos}


@pytest.fixture
def pack_list(tmp_path) -> Callable[..., Packed]:
    """Packs a list by the command line, and reads the samples back through the set's index."""

    def pack(name: str, source: Path, root: Path, *options: str) -> Packed:
        out = tmp_path / "out"
        paths = ["pack", str(source), str(out), "--list", name, "--root", str(root)]
        result = CliRunner().invoke(app, [*paths, "--workers", "1", *options])
        assert result.exit_code == 0, result.output
        shards = SourceConfig(shards=str(out / "*.tar"), clip=ClipConfig(frames=1))
        samples = ShardSet(resolve_shards(shards))
        files = [samples.sample(n, DESCRIBED_VIDEOS).files["json"] for n in range(len(samples))]
        rejects = map(json.loads, (out / "rejects.jsonl").read_text().splitlines())
        return Packed(
            infos=[SampleInfo.model_validate_json(content) for content in files],
            classes=(out / "classes.txt").read_text().splitlines(),
            rejects={Path(reject["path"]).name: reject["reason"] for reject in rejects},
        )

    return pack


@pytest.fixture(scope="session")
def film(tmp_path_factory, make_video) -> Path:
    """Two seconds of video."""
    return make_video(tmp_path_factory.mktemp("film") / "film.mp4", frames=20)


@pytest.fixture
def put(film) -> Callable[..., None]:
    """Puts the same video under each of these names."""

    def put(root: Path, *names: str) -> None:
        for name in names:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(film, root / name)

    return put
