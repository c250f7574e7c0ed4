"""What torchrun tells the processes that it starts."""

import socket


def places(processes: int) -> list[dict[str, str]]:
    """The environment of each rank on this machine; they meet at a port that was free."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    together = {
        "TORCHELASTIC_RUN_ID": "test",
        "WORLD_SIZE": str(processes),
        "LOCAL_WORLD_SIZE": str(processes),
        "GROUP_RANK": "0",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "OMP_NUM_THREADS": "1",
    }
    return [{**together, "RANK": str(r), "LOCAL_RANK": str(r)} for r in range(processes)]
