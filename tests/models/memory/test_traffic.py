"""Traffic agrees with closed forms, and rings with what their ranks really send."""

import pytest

from worldmodel_train.models.memory import LAYOUTS, ring_bytes, step_traffic


def sent(layout, *, micro_batches=1, world_size=4):
    return step_traffic(
        1000,
        600,
        layout=layout,
        world_size=world_size,
        micro_batches=micro_batches,
    )


@pytest.mark.parametrize("world_size", [1, 2, 5])
def test_a_ring_sends_what_its_ranks_send_one_after_the_other(world_size):
    # rank r starts with chunk r and passes on, round by round, what it received last
    chunk, size = 3, 3 * world_size
    held = [{rank} for rank in range(world_size)]
    passed = 0
    for step in range(world_size - 1):
        for rank in range(world_size):
            held[(rank + 1) % world_size].add((rank - step) % world_size)
        passed += chunk
    assert all(len(chunks) == world_size for chunks in held)
    assert ring_bytes(size, world_size) == passed


def test_the_volumes_of_each_layout():
    ring = 3 / 4
    assert sent("ddp") == ring * 2 * 4 * 1000
    assert sent("zero1") == ring * (2 * 4000 + 2000 + 1200)
    assert sent("zero2", micro_batches=3) == ring * (3 * 2 * 4000 + 2000 + 1200)
    assert sent("zero3") == ring * (4000 + 2 * 2000 + 1200)


def test_accumulation_costs_stage_2_and_3_but_not_the_others():
    grows = [layout for layout in LAYOUTS if sent(layout, micro_batches=4) > sent(layout)]
    assert grows == ["zero2", "zero3"]
    assert sent("zero3", micro_batches=4) == 4 * sent("zero3")


def test_one_process_sends_nothing():
    assert all(sent(layout, world_size=1) == 0 for layout in LAYOUTS)
