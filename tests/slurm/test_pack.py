"""slurm/pack.sbatch as a user submits it."""

import json

import av
import numpy as np
import pytest

pytestmark = pytest.mark.slurm


def write_video(path, phase):
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=10, options={"g": "5"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for i in range(10):
            picture = np.full((48, 64, 3), 9 * phase + 2 * i, np.uint8)
            output.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        output.mux(stream.encode(None))


@pytest.fixture
def videos(tmp_path):
    """A list of five videos, the last one damaged."""
    (tmp_path / "in").mkdir()
    for i in range(4):
        write_video(tmp_path / f"in/{i}.mp4", i)
    (tmp_path / "in/4.mp4").write_bytes(b"nonsense")
    path = tmp_path / "videos.csv"
    path.write_text("path\n" + "".join(f"in/{i}.mp4\n" for i in range(5)))
    return path


def pack(slurm, videos, *options, environment=None):
    return slurm.submit(
        f"--chdir={videos.parent}", f"--output={videos.parent}/slurm-%A_%a.out",
        "--cpus-per-task=1", *options, "slurm/pack.sbatch", videos, videos.parent / "out",
        "--workers", 1, "--shard-size", "10KB", environment=environment,
    )  # fmt: skip


def joining_job(slurm, output) -> str:
    """The job that joins the parts, submitted by the first job of the array."""
    slurm.wait_until(output.exists)
    words = slurm.wait_until(lambda: [x for x in output.read_text().splitlines() if "joins" in x])
    return words[0].split("] job ")[1].split()[0]


def test_an_array_packs_parts_and_a_job_after_it_joins_them(slurm, videos):
    array = pack(slurm, videos, "--array=1-2")
    joining = joining_job(slurm, videos.parent / f"slurm-{array}_1.out")
    assert slurm.wait(joining) == "COMPLETED"
    out = videos.parent / "out"
    index = json.loads((out / "index.json").read_text())
    assert index["samples"] == 4
    names = sorted(path.name for path in out.glob("*.tar"))
    assert [shard["name"] for shard in index["shards"]] == names
    rejects = [json.loads(line) for line in (out / "rejects.jsonl").read_text().splitlines()]
    assert [(reject["path"][-5:], reject["reason"]) for reject in rejects] == [
        ("4.mp4", "undecodable")
    ]
    joined = (videos.parent / f"slurm-{joining}.out").read_text()
    assert "4 samples in " in joined
    assert "rejected 1 (1 undecodable)" in joined
    assert not list(out.glob("part-*"))


def test_a_failed_part_is_repeated_alone_and_then_all_are_joined(slurm, videos):
    write_video(videos.parent / "good.mp4", 7)
    text = videos.read_text()
    videos.write_text(text + "in/good.mp4,no such column\n")
    array = pack(slurm, videos, "--array=1-2")
    joining = joining_job(slurm, videos.parent / f"slurm-{array}_1.out")
    slurm.wait_until(lambda: not slurm.call("squeue", "--noheader", "--job", joining))
    assert not (videos.parent / "out/index.json").exists(), "joined though parts have failed"
    videos.write_text(text)
    assert slurm.wait(pack(slurm, videos, "--array=1-1", environment={"WMT_PARTS": "2"}))
    second = pack(slurm, videos, "--array=2", environment={"WMT_PARTS": "2"})
    joining = joining_job(slurm, videos.parent / f"slurm-{second}_2.out")
    assert slurm.wait(joining) == "COMPLETED"
    assert json.loads((videos.parent / "out/index.json").read_text())["samples"] == 4


def test_parts_without_their_number_are_refused(slurm, videos):
    array = pack(slurm, videos, "--array=2-3")
    assert slurm.wait(f"{array}_2") == "FAILED"
    assert "set WMT_PARTS to the number of all" in (
        (videos.parent / f"slurm-{array}_2.out").read_text()
    )
