"""A real SLURM on this machine: a controller and two nodes, as root, with nothing in /etc."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch")
NODES = ("n1", "n2")
ENDED = {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY"}
GRACE = 20  # seconds between the SIGTERM of a preemption and its end

CONFIG = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
# a requeued job waits until its old credential has expired; fewer than 5 s mean 120 s
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CredType=cred/munge
MpiDefault=none
# what a container has not: systemd, cgroups, a data base
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
# the nodes need not be what the machine is
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=10
MinJobAge=600
SchedulerParameters=batch_sched_delay=0,sched_interval=1,sched_min_interval=0,requeue_delay=1
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmdSpoolDir={folder}/spool-%n
StateSaveLocation={folder}/state
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
{nodes}
PartitionName=low Nodes=ALL Default=YES MaxTime=INFINITE PriorityTier=1 GraceTime={grace}
PartitionName=high Nodes=ALL MaxTime=INFINITE PriorityTier=2 PreemptMode=OFF
"""
NODE = (
    "NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=4 RealMemory=1000 "
    "State=UNKNOWN"
)


def wait_until(condition, timeout_s=60.0, explain=lambda: ""):
    """What `condition` returns, once that is true."""
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {explain()}"
        time.sleep(0.05)
    return found


class Slurm:
    """Submits as a user would, from the root of the checkout, and looks at what became of it."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = environment

    def call(self, *command: object) -> str:
        return subprocess.run(
            [str(word) for word in command], cwd=ROOT, env=self.environment,
            check=True, capture_output=True, text=True, timeout=30,
        ).stdout.strip()  # fmt: skip

    def submit(self, *arguments: object, environment: dict[str, str] | None = None) -> str:
        """The number of the new job."""
        other = Slurm({**self.environment, **(environment or {})})
        return other.call("sbatch", "--parsable", *arguments)

    wait_until = staticmethod(wait_until)

    def job(self, number: str) -> dict[str, str]:
        words = self.call("scontrol", "show", "job", "--oneliner", number).split()
        return dict(word.split("=", 1) for word in words if "=" in word)

    def wait(self, number: str, timeout_s: float = 120) -> str:
        """The state that the job ended in, after as many restarts as it needed."""
        return wait_until(lambda: self._end(number), timeout_s, lambda: self.job(number))

    def trains(self, number: str, rank: int) -> int:
        """The process that trains as that rank, 0 where it does not run."""
        pids = {pid for pid in _pids() if _is_rank(pid, number, rank)}
        # loading processes look the same, but are its children
        return next((pid for pid in pids if _parent(pid) not in pids), 0)

    def send(self, number: str, rank: int, signal_number: signal.Signals) -> None:
        pid = wait_until(lambda: self.trains(number, rank))
        os.kill(pid, signal_number)

    def _end(self, number: str) -> str:
        state = self.job(number)["JobState"]
        return state if state in ENDED else ""


def _pids() -> list[int]:
    return [int(path.name) for path in Path("/proc").glob("[0-9]*")]


def _is_rank(pid: int, job: str, rank: int) -> bool:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False  # it has ended meanwhile
    wanted = {f"SLURM_JOB_ID={job}".encode(), f"SLURM_PROCID={rank}".encode()}
    return b"pretrain" in words and b"python" in words[0] and wanted <= set(variables)


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0  # it has ended meanwhile


@pytest.fixture(scope="session")
def slurm(tmp_path_factory) -> Iterator[Slurm]:
    _require_programs()
    with local_slurm(tmp_path_factory.mktemp("slurm")) as cluster:
        yield cluster


@contextmanager
def local_slurm(folder: Path) -> Iterator[Slurm]:
    """A cluster that keeps its files in `folder`, and ends with the block."""
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "SLURM_CONF": str(_configure(folder)),
        # the names of the nodes do not resolve
        "MASTER_ADDR": "127.0.0.1",
        "OMP_NUM_THREADS": "1",
    }
    daemons = []
    try:
        daemons += [_start_munge(folder)]
        daemons += [_start(folder, environment, "slurmctld", "-D", "-c")]
        daemons += [_start(folder, environment, "slurmd", "-D", "-c", "-N", name) for name in NODES]
        cluster = Slurm(environment)
        wait_until(lambda: _nodes_are_idle(cluster), 30, lambda: _logs(folder))
        try:
            yield cluster
        finally:
            cluster.call("scancel", "--user=root")
            wait_until(lambda: not cluster.call("squeue", "--noheader"), 40)
    finally:
        for daemon in reversed(daemons):
            daemon.terminate()
        for daemon in daemons:
            daemon.wait(timeout=20)


def _require_programs() -> None:
    if os.getuid() != 0:
        pytest.skip("SLURM's daemons are started as root here")
    if all(map(shutil.which, PROGRAMS)):
        return
    if shutil.which("apt-get") is None:
        pytest.skip("no SLURM, and no apt-get to install it with")
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.STDOUT, "timeout": 240}
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["apt-get", "update", "-qq"], env=environment, check=False, **quiet)
    install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "slurm-wlm", "munge"]
    done = subprocess.run(install, env=environment, check=False, **quiet)
    if done.returncode:
        pytest.skip(f"no SLURM, and `{' '.join(install)}` ended with {done.returncode}")


def _configure(folder: Path) -> Path:
    (folder / "state").mkdir()
    host = socket.gethostname().split(".")[0]
    ports = _free_ports(1 + len(NODES))
    nodes = [
        NODE.format(name=name, host=host, port=port)
        for name, port in zip(NODES, ports[1:], strict=True)
    ]
    for name in NODES:
        (folder / f"spool-{name}").mkdir()
    path = folder / "slurm.conf"
    path.write_text(
        CONFIG.format(host=host, port=ports[0], folder=folder, nodes="\n".join(nodes), grace=GRACE)
    )
    return path


def _free_ports(number: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _start_munge(folder: Path) -> subprocess.Popen:
    key = folder / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    files = [f"--{name}-file={folder}/munge.{name}" for name in ("key", "log", "pid", "seed")]
    command = ["munged", "--foreground", "--force", f"--socket={folder}/munge.socket", *files]
    daemon = _spawn(folder, dict(os.environ), command)
    wait_until((folder / "munge.socket").exists, 20, lambda: _logs(folder))
    return daemon


def _start(folder: Path, environment: dict[str, str], *command: str) -> subprocess.Popen:
    return _spawn(folder, environment, list(command))


def _spawn(folder: Path, environment: dict[str, str], command: list[str]) -> subprocess.Popen:
    with (folder / f"{command[0]}.output").open("ab") as output:
        # a session of its own: after Ctrl-C the fixture stops the daemons, in order;
        # setpriv: they end with a pytest that is killed
        return subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", *command],
            env=environment, stdout=output, stderr=output, start_new_session=True,
        )  # fmt: skip


def _nodes_are_idle(cluster: Slurm) -> bool:
    try:
        return cluster.call("sinfo", "-h", "-o", "%D", "-t", "idle", "-p", "low") == str(len(NODES))
    except subprocess.CalledProcessError:
        return False  # the controller does not answer yet


def _logs(folder: Path) -> str:
    files = [*folder.glob("*.log"), *folder.glob("*.output")]
    return "\n".join(f"== {path}\n{path.read_text()[-1500:]}" for path in files)
