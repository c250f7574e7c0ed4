"""slurm/pretrain.sbatch as a user submits it: two tasks on two nodes, stopped in every way."""

import json
import shutil
import signal
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.slurm

STRATEGY = "{name: deepspeed, zero_stage: 1}"
STEPS = 100
TWO_NODES = ["--nodes=2", "--ntasks-per-node=1", "--gpus-per-node=0", "--cpus-per-task=1"]
RECIPE = """\
extends: demo
name: tiny
source: a test of the batch scripts
method:
  encoder: {size: {width: 32, depth: 1, heads: 2}}
  predictor: {width: 32, depth: 1, heads: 2}
data:
  sources:
    - {name: demo, shards: "assets:demo/train/*.tar", clip: {frames: 4, fps: 8}}
  augment: {size: 64}
optim: {lr: {name: warmup_cosine, start: 1e-4, peak: 1e-3, end: 1e-5, warmup_steps: 4}}
checkpoint: {every_steps: 10, keep_last: 2}
log: {every_steps: 1, image_every: null}
evaluation: null
"""


class Run:
    """A run directory, the recipe that fills it, and the output of its jobs."""

    def __init__(self, folder: Path, strategy: str = STRATEGY) -> None:
        self.folder = folder
        self.recipe = folder / "tiny.yaml"
        self.recipe.write_text(
            f"{RECIPE}train: {{steps: {STEPS}, global_batch: 4, micro_batch: 2, "
            f"accelerator: cpu, strategy: {strategy}}}\n"
        )
        self.directory = folder / "run"

    def submit(self, slurm, *options, overrides=(), environment=None) -> str:
        return slurm.submit(
            *TWO_NODES, f"--output={self.folder}/slurm-%j.out", *options,
            "slurm/pretrain.sbatch", self.recipe, f"run_dir={self.directory}", *overrides,
            environment=environment,
        )  # fmt: skip

    def log(self, job: str) -> str:
        return (self.folder / f"slurm-{job}.out").read_text()

    def rank_log(self, job: str, rank: int) -> str:
        return (self.directory / f"slurm/{job}/rank-{rank}.log").read_text()

    def last(self) -> int:
        """The step of the last checkpoint."""
        pointer = self.directory / "checkpoints/last"
        return int(pointer.read_text().strip().removeprefix("step_")) if pointer.exists() else 0

    def losses(self) -> dict[int, float]:
        path = self.directory / "metrics.jsonl"
        lines = [json.loads(x) for x in path.read_text().splitlines()] if path.exists() else []
        steps = [line["step"] for line in lines]
        assert steps == sorted(set(steps)), "a step is there twice"
        return {line["step"]: line["loss"] for line in lines}


@pytest.fixture
def run(tmp_path) -> Run:
    return Run(tmp_path)


@pytest.fixture
def quick_run(tmp_path) -> Run:
    """For what does not depend on the strategy: starts some seconds sooner."""
    return Run(tmp_path, strategy="auto")


@pytest.fixture(scope="module")
def whole(slurm, tmp_path_factory) -> tuple[Run, str]:
    """A run that nothing disturbs, and its job."""
    run = Run(tmp_path_factory.mktemp("whole"))
    job = run.submit(slurm)
    assert slurm.wait(job) == "COMPLETED", run.log(job)
    return run, job


def reach(slurm, run: Run, job: str, step: int) -> None:
    """Waits until a checkpoint of at least that step is there, and the run is at work again."""
    slurm.wait_until(lambda: run.last() >= step, 90, lambda: run.log(job))
    assert run.last() < STEPS, "too fast for this test: more steps"


def at_rest(run: Run, seconds: float = 5.0) -> int:
    """The last step with a loss, once none has come for a while."""
    step, since = max(run.losses()), time.monotonic()
    while time.monotonic() - since < seconds:
        time.sleep(0.2)
        if max(run.losses()) != step:
            step, since = max(run.losses()), time.monotonic()
    return step


def assert_equal(run: Run, whole: tuple[Run, str], job: str) -> None:
    losses = run.losses()
    assert list(losses) == list(range(1, STEPS + 1)), run.log(job)
    assert losses == whole[0].losses()
    assert run.last() == STEPS
    assert "finished" in run.log(job)


def test_a_run_ends_and_its_logs_are_where_the_output_says(slurm, whole):
    run, job = whole
    assert list(run.losses()) == list(range(1, STEPS + 1))
    log = run.log(job)
    assert f"going on from nothing; logs {run.directory}/slurm/{job}/rank-*.log" in log
    assert "training on 2 x cpu" in log
    assert "strategy: deepspeed, zero_stage 1" in log
    assert f"step {STEPS}/{STEPS}" in log, "the first rank's log is in the job's output"
    assert f"step {STEPS}/{STEPS}" in run.rank_log(job, 0)
    assert "error" not in log + run.rank_log(job, 1)
    found = slurm.job(job)
    assert (found["ExitCode"], found["Restarts"]) == ("0:0", "0")


def test_a_task_killed_with_9_brings_the_job_back_to_an_equal_run(slurm, run, whole):
    job = run.submit(slurm)
    reach(slurm, run, job, 30)
    slurm.send(job, 1, signal.SIGKILL)
    assert slurm.wait(job) == "COMPLETED", run.log(job)
    assert "rank 1 ended with 137" in run.log(job)
    assert "The last checkpoint went from nothing to step_000000" in run.log(job)
    assert slurm.job(job)["Restarts"] == "1"
    assert_equal(run, whole, job)


def test_the_time_limit_ends_in_a_checkpoint_and_a_requeue_though_one_rank_is_late(
    slurm, run, whole
):
    # SLURM looks at limits every 30 s, so it sends the signal after 20 s or later
    job = run.submit(slurm, "--time=1", "--signal=SIGUSR1@10")
    slurm.wait_until(run.losses, 90, lambda: run.log(job))
    slurm.send(job, 1, signal.SIGSTOP)
    slurm.wait_until(lambda: "saving after" in run.log(job), 90, lambda: run.log(job))
    # once is enough; this also holds for the starts to come
    slurm.call("scontrol", "update", f"JobId={job}", "TimeLimit=60")
    stopped_at = at_rest(run)
    slurm.send(job, 1, signal.SIGCONT)
    assert slurm.wait(job) == "COMPLETED", run.log(job)
    assert "SIGUSR1, as the time limit is near. The last checkpoint went from" in run.log(job)
    # the step that the ranks were in, or the end of the one before
    resumed_at = run.log(job).split("going on from step_")[1].split(";")[0]
    assert int(resumed_at) in (stopped_at, stopped_at + 1)
    assert int(slurm.job(job)["Restarts"]) >= 1
    assert_equal(run, whole, job)


def test_preemption_and_an_outside_requeue_bring_the_job_back(slurm, run, whole):
    job = run.submit(slurm)
    reach(slurm, run, job, 10)
    slurm.call("scontrol", "requeue", job)
    slurm.wait_until(lambda: slurm.job(job)["Restarts"] == "1")
    first_stop = run.last()
    reach(slurm, run, job, first_stop + 20)
    guest = slurm.submit("--partition=high", *TWO_NODES, "--ntasks-per-node=4",
                         f"--output={run.folder}/guest.out", "--wrap=sleep 1")  # fmt: skip
    assert slurm.wait(guest) == "COMPLETED"
    assert slurm.wait(job) == "COMPLETED", run.log(job)
    assert "SLURM stopped the job and requeues it itself" in run.log(job)
    assert "SIGTERM, preempted. Requeueing" in run.log(job)
    assert slurm.job(job)["Restarts"] == "2"
    assert slurm.job(job)["PreemptTime"] == "None", "a later SIGTERM would look like a preemption"
    assert_equal(run, whole, job)


@pytest.mark.parametrize(
    ("options", "state", "words"),
    [
        ([], "CANCELLED", "SLURM ended the job (scancel, or the time limit); checkpoint step_"),
        (["--signal=TERM"], "FAILED", "SIGTERM from scancel --signal=TERM; checkpoint step_"),
    ],
)
def test_scancel_saves_and_the_job_does_not_come_back(slurm, quick_run, options, state, words):
    job = quick_run.submit(slurm, overrides=["checkpoint.every_steps=1000"])
    slurm.wait_until(quick_run.losses, 90, lambda: quick_run.log(job))
    slurm.call("scancel", *options, job)
    assert slurm.wait(job) == state
    assert words in quick_run.log(job)
    assert slurm.job(job)["Restarts"] == "0"
    assert 0 < quick_run.last() < STEPS


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("train.stesp=3", 'did you mean "steps"?'),
        ("data.sources.0.shards=/nowhere/*.tar", "nothing matches /nowhere/*.tar"),
    ],
)
def test_what_the_user_must_put_right_ends_the_job_at_once(slurm, quick_run, override, words):
    job = quick_run.submit(slurm, overrides=[override])
    assert slurm.wait(job) == "FAILED"
    found = slurm.job(job)
    assert (found["ExitCode"], found["Restarts"]) == ("2:0", "0")
    assert words in quick_run.log(job).replace("\n", " ")
    assert "ot requeued" in quick_run.log(job)


def test_a_run_that_saves_nothing_new_is_given_up(slurm, quick_run):
    job = quick_run.submit(
        slurm, overrides=["checkpoint.every_steps=1000"], environment={"WMT_MAX_RESTARTS": "1"}
    )
    for restarts in ("0", "1"):
        slurm.wait_until(lambda: slurm.job(job)["Restarts"] == restarts)  # noqa: B023 - used at once
        slurm.send(job, 1, signal.SIGKILL)
    assert slurm.wait(job) == "FAILED"
    assert "restart 1 of 1 that may be without one. Requeueing" in quick_run.log(job)
    assert "No new checkpoint in 2 starts (WMT_MAX_RESTARTS=1)" in quick_run.log(job)
    assert slurm.job(job)["Restarts"] == "1"


APPTAINER = """\
#!/bin/bash
echo "$@" >>"$WORDS"
while [[ $1 != wmt ]]; do shift; done
exec "$@"
"""
PYXIS = """\
#!/bin/bash
for word; do
  if [[ $word == --container-* ]]; then echo "$word" >>"$WORDS"; else kept+=("$word"); fi
done
exec {srun} "${{kept[@]}}"
"""


def test_a_run_is_measured(slurm, whole, tmp_path):
    run, _ = whole
    recipe, task = tmp_path / "measured.yaml", "name: latent_prediction, max_clips: 4"
    text = run.recipe.read_text()
    recipe.write_text(text.replace("evaluation: null", f"evaluation: [{{{task}}}]"))
    job = slurm.submit(
        "--gpus-per-node=0", "--cpus-per-task=1", f"--output={tmp_path}/slurm-%j.out",
        "slurm/probe.sbatch", recipe, f"run_dir={run.directory}",
    )  # fmt: skip
    assert slurm.wait(job) == "COMPLETED"
    report = run.directory / "report.html"
    assert report.exists()
    assert f"report: {report}" in (tmp_path / f"slurm-{job}.out").read_text()


MOUNTS = "{root}:{root},{run}:{run},/a:/b"


@pytest.mark.parametrize(
    ("program", "image", "words"),
    [
        (
            "apptainer",
            "wmt.sif",
            f"exec --nv --pwd {{root}} --bind {MOUNTS} wmt.sif wmt pretrain",
        ),
        ("srun", "org/wmt:1", f"--container-image=org/wmt:1\n--container-mounts={MOUNTS}"),
    ],
    ids=["apptainer", "pyxis"],
)
def test_tasks_run_in_a_container_that_sees_the_run(slurm, whole, tmp_path, program, image, words):
    """No container runs here: in its place stands a program that notes how it was called."""
    script = APPTAINER if program == "apptainer" else PYXIS.format(srun=shutil.which("srun"))
    (tmp_path / program).write_text(script)
    (tmp_path / program).chmod(0o755)
    environment = {"WMT_IMAGE": image, "WMT_MOUNTS": "/a:/b", "WORDS": str(tmp_path / "words"),
                   "PATH": f"{tmp_path}:{slurm.environment['PATH']}"}  # fmt: skip
    run, _ = whole
    job = run.submit(slurm, "--nodes=1", environment=environment)
    assert slurm.wait(job) == "COMPLETED", run.log(job)
    assert "has finished already" in run.log(job)
    expected = words.format(root=Path.cwd(), run=run.directory)
    assert expected in (tmp_path / "words").read_text()
