"""Work that two ranks do together, each in a process."""

import multiprocessing

import torch
import torch.distributed as dist


def on_two_ranks(work, folder):
    """What `work` returns on each rank."""
    context = multiprocessing.get_context("fork")
    answers = context.Queue()

    def rank_process(rank):
        torch.set_num_threads(1)  # a fork has none of the threads that its parent computed with
        store = f"file://{folder}/store"
        dist.init_process_group("gloo", init_method=store, rank=rank, world_size=2)
        answers.put((rank, work(rank)))
        dist.destroy_process_group()

    ranks = [context.Process(target=rank_process, args=(rank,), daemon=True) for rank in (0, 1)]
    for rank in ranks:
        rank.start()
    found = dict(answers.get(timeout=60) for _ in ranks)
    for rank in ranks:
        rank.join(timeout=60)
    return found[0], found[1]
