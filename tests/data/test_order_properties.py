"""Nothing is lost and nothing repeated, whoever reads and however often it is interrupted.

On the level of sample numbers: no video is opened.
"""

from collections import Counter, defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worldmodel_train.batch import Batch, Origin
from worldmodel_train.data.loader_position import LoaderPosition
from worldmodel_train.data.mixture import Mixture
from worldmodel_train.data.shards.folder_index import INDEX_FILE, IndexedShard, write_folder_index
from worldmodel_train.data.shards.shard_files import ShardFiles
from worldmodel_train.data.shards.shard_set import ShardSet
from worldmodel_train.data.shards.shard_table import ShardSample, ShardTable
from worldmodel_train.data.shards.source import EncodedSample
from worldmodel_train.data.shards.stream_source import StreamLimits, StreamShare, StreamSource
from worldmodel_train.data.source_order import SourceOrder
from worldmodel_train.data.stream_positions import (
    StreamPosition,
    StreamPositions,
    merge_streams,
    position_of,
)
from worldmodel_train.types import MaskedClips

GLOBAL_BATCH = 24
# processes and clips of a micro-batch that divide a global batch of 24
SPLITS = [
    (w, m) for w in (1, 2, 3, 4, 6, 8, 12, 24) for m in (1, 2, 3, 4, 6, 8) if 24 % (w * m) == 0
]
LAUNCHES = st.lists(
    st.tuples(st.sampled_from(SPLITS), st.integers(1, 5), st.integers(1, 6)), min_size=1, max_size=5
)


def samples_of_steps(launch, first_step, global_batch=GLOBAL_BATCH):
    """The sample numbers that all ranks of a launch use in each of its steps, in no order."""
    (world_size, micro_batch), workers, steps = launch
    used = [[] for _ in range(steps)]
    for rank in range(world_size):
        position = LoaderPosition(
            seed=0,
            rank=rank,
            world_size=world_size,
            micro_batch=micro_batch,
            global_batch=global_batch,
            first_step=first_step,
        )
        made = [position.micro_batches(worker, workers) for worker in range(workers)]
        for turn in range(steps * position.accumulation):
            first = position.first_sample(next(made[turn % workers]))
            used[turn // position.accumulation] += range(first, first + micro_batch)
    return used


@settings(deadline=None)
@given(launches=LAUNCHES)
def test_each_step_uses_its_own_consecutive_samples_over_any_interruptions(launches):
    step = 0
    for launch in launches:
        for used in samples_of_steps(launch, step):
            assert sorted(used) == list(range(step * GLOBAL_BATCH, (step + 1) * GLOBAL_BATCH))
            step += 1


def test_1024_ranks_with_8_workers_and_then_512_with_5_use_the_same_order():
    global_batch, step = 3072, 41
    for launch in [((1024, 3), 8, 3), ((512, 2), 5, 2)]:
        for used in samples_of_steps(launch, step, global_batch):
            assert sorted(used) == list(range(step * global_batch, (step + 1) * global_batch))
            step += 1


@pytest.mark.slow
@settings(deadline=None, max_examples=30)
@given(
    weights=st.lists(st.floats(1, 9), min_size=1, max_size=4),
    sizes=st.lists(st.integers(1, 40), min_size=4, max_size=4),
    seed=st.integers(0, 2**40),
    samples=st.integers(150, 400),
    begin=st.sampled_from([0, 900, 5000]),
)
def test_each_epoch_of_each_source_of_a_mixture_is_a_permutation(
    weights, sizes, seed, samples, begin
):
    mixture = Mixture(weights, seed)
    positions = defaultdict(list)
    for sample in range(begin, begin + samples):
        draw = mixture.draw(sample)
        positions[draw.source].append(draw.position)
    for source, drawn in positions.items():
        assert drawn == list(range(drawn[0], drawn[0] + len(drawn)))
        size = sizes[source]
        order = SourceOrder(size, seed=seed, number=source)
        epochs = defaultdict(list)
        for position in drawn:
            epochs[position // size].append(order.number_at(position, 0))
        for epoch, numbers in epochs.items():
            assert len(numbers) == len(set(numbers))
            assert set(numbers) <= set(range(size))
            if drawn[0] <= epoch * size and (epoch + 1) * size <= drawn[-1] + 1:
                assert sorted(numbers) == list(range(size))


SAMPLE = ShardSample(key="k", spans={})


@settings(deadline=None, max_examples=30)
@given(sizes=st.lists(st.integers(0, 9), min_size=1, max_size=20).filter(any))
def test_the_numbers_of_a_set_are_the_rows_of_its_shards_each_once(tmp_path_factory, sizes):
    folder = tmp_path_factory.mktemp("set")
    names = [f"{i:02d}.tar" for i in range(len(sizes))]
    write_folder_index(
        folder / INDEX_FILE,
        (
            IndexedShard(name, 1, ShardTable.of([SAMPLE] * size))
            for name, size in zip(names, sizes, strict=True)
        ),
    )
    for name in names:
        (folder / name).touch()
    shards = ShardSet(ShardFiles.of(str(folder / name) for name in names))
    found = [shards.find(number) for number in range(len(shards))]
    assert found == [(s, row) for s, size in enumerate(sizes) for row in range(size)]


PER_SHARD = 5
NUM_SHARDS = 400


@pytest.fixture(scope="module")
def numbers():
    """Each shard's number in the first epoch."""
    whole = stream(0, 1, StreamPosition(shards=NUM_SHARDS))
    return {whole.shard(turn): turn for turn in range(NUM_SHARDS)}


def stream(consumer, consumers, start, buffer=1):
    share = StreamShare(consumer=consumer, consumers=consumers, seed=3, start=start)
    names = [f"pipe:{i}" for i in range(NUM_SHARDS)]
    limits = StreamLimits(shuffle_buffer=buffer, timeout_s=1.0, retry_s=0.0)
    return StreamSource(names, share, number=0, limits=limits)


def fake_samples(shard, timeout_s, outages, wanted):
    for i in range(PER_SHARD):
        yield EncodedSample(key=f"{shard}/{i}", shard=shard, files={"video": b""})


def made_by(worker, batches):
    """What a loading process makes of its share: for each batch the samples and the mark."""
    return [([worker.read(0, 0).key for _ in range(3)], worker.mark("a")) for _ in range(batches)]


def used_of_a_rank(rank, launch, state):
    """How often each sample was used, and what this rank's positions then say."""
    world_size, workers, batches, buffer = launch
    start = position_of(state, "a", NUM_SHARDS)
    made = [
        # two more than are used: the loader reads ahead
        made_by(stream(rank * workers + w, world_size * workers, start, buffer), batches + 2)
        for w in range(workers)
    ]
    positions, used = StreamPositions(state), Counter()
    for turn in range(batches):
        keys, mark = made[turn % workers][turn // workers]
        used.update(keys)
        positions.add(
            Batch(
                content=MaskedClips(groups=()), origin=Origin(first_sample=0, stream_marks=(mark,))
            )
        )
    return used, positions.state()


@pytest.mark.slow
@settings(deadline=None, max_examples=30)
@given(
    launches=st.lists(
        st.tuples(
            st.integers(1, 3), st.integers(1, 3), st.integers(0, 12), st.sampled_from([1, 4, 20])
        ),
        min_size=1,
        max_size=4,
    )
)
def test_a_stream_loses_nothing_and_repeats_only_shards_that_were_not_finished(numbers, launches):
    state, used = {}, Counter()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("worldmodel_train.data.shards.stream_source.stream_samples", fake_samples)
        for launch in launches:
            start = position_of(state, "a", NUM_SHARDS)
            done = set(range(start.first)) | set(start.beyond)
            parts = [used_of_a_rank(rank, launch, state) for rank in range(launch[0])]
            now = sum((part for part, _ in parts), Counter())
            assert not done & {numbers[key.rsplit("/")[0]] for key in now}
            used += now
            state = merge_streams([rank_state for _, rank_state in parts])
    end = position_of(state, "a", NUM_SHARDS)
    for shard, number in numbers.items():
        if number < end.first or number in end.beyond:
            assert all(used[f"{shard}/{i}"] for i in range(PER_SHARD))
