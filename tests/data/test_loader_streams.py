import json
from itertools import islice

import pytest

from worldmodel_train.data.config import AugmentConfig, DataConfig, LoaderConfig
from worldmodel_train.data.health import DataAwayError
from worldmodel_train.data.loader_position import LoaderPosition
from worldmodel_train.data.shards.resolve import resolve_shards
from worldmodel_train.data.shards.stream_source import StreamLimits, StreamShare, StreamSource
from worldmodel_train.data.source_config import ClipConfig, SourceConfig
from worldmodel_train.data.stream_positions import (
    StreamPosition,
    StreamPositions,
    merge_streams,
    position_of,
)
from worldmodel_train.masks.draw import MaskPreparation

CLIP = ClipConfig(frames=2, fps=10.0)


def prepare(masks):
    return MaskPreparation(samplers=tuple(masks), tubelet=2, patch=8)


def make_data(workers, source, **loader):
    return DataConfig(
        sources=(source,),
        augment=AugmentConfig(size=16),
        loader=LoaderConfig(workers=workers, prefetch=1, **loader),
    )


def loader_of(data, *, rank=0, world_size=1, micro_batch=4, first_step=0, streams=None):
    position = LoaderPosition(
        seed=11,
        rank=rank,
        world_size=world_size,
        micro_batch=micro_batch,
        global_batch=8,
        first_step=first_step,
        streams=streams,
    )
    return data.build_loader(prepare([]), position)


def batches(data, count, **place):
    return list(islice(iter(loader_of(data, **place)), count))


@pytest.mark.slow
def test_streams_give_batches_forever(make_shard, make_video):
    shards = [make_shard(f"{s}.tar", {f"{s}{i}": make_video(4) for i in range(2)}) for s in "ab"]
    source = SourceConfig(
        shards=tuple(f"pipe:cat {shard}" for shard in shards),
        clip=CLIP,
    )
    parts = batches(make_data(2, source), 5)
    assert [part.content.num_samples for part in parts] == [4] * 5
    with pytest.raises(ValueError, match=r"at least 3 shards or fewer data\.loader\.workers"):
        loader_of(make_data(3, source))


@pytest.fixture(params=["pipe", "http"])
def streamed(request, make_shard, make_video, serving):
    """A source of six streamed shards, and the grey level of both videos of each shard."""
    levels = {f"{s}.tar": 20 + 30 * s for s in range(6)}
    paths = [
        make_shard(name, {f"{name[0]}{i}": make_video(4, levels=[level] * 4) for i in range(2)})
        for name, level in levels.items()
    ]
    if request.param == "pipe":
        shards = tuple(f"pipe:cat {path}" for path in paths)
        yield SourceConfig(name="web", shards=shards, clip=CLIP), levels
        return
    with serving(paths[0].parent) as url:
        yield SourceConfig(name="web", shards=f"{url}/{{0..5}}.tar", clip=CLIP), levels


def levels_of(parts):
    """The grey levels of all clips."""
    clips = [clip for part in parts for group in part.content.groups for clip in group.clips]
    return [20 + 30 * round((float(clip.float().mean()) - 20) / 30) for clip in clips]


@pytest.mark.slow
def test_a_streamed_video_is_read_once_for_all_its_clips(streamed):
    source, _ = streamed
    alone = levels_of(batches(make_data(0, source, shuffle_buffer=1), 2))
    data = make_data(0, source, shuffle_buffer=1, clips_per_video=2)
    assert levels_of(batches(data, 4)) == [level for level in alone for _ in range(2)]


def shard_names(source):
    """The file names of a stream's shards in the order in which they are read."""
    share = StreamShare(consumer=0, consumers=1, seed=11, start=StreamPosition(shards=6))
    shards = resolve_shards(source)
    limits = StreamLimits(shuffle_buffer=1, timeout_s=9.0, retry_s=0.0)
    order = StreamSource(shards, share, number=0, limits=limits)
    return [order.shard(turn).rsplit("/", 1)[-1] for turn in range(6)]


@pytest.mark.parametrize(("workers", "ranks_then"), [(0, 2), (2, 1)])
def test_a_resumed_stream_reads_what_was_not_finished_and_only_that(
    streamed, caplog, workers, ranks_then
):
    source, levels = streamed
    positions = StreamPositions(None)
    data = make_data(workers, source, shuffle_buffer=1)
    used = batches(data, 7, micro_batch=1)
    for batch in used:
        positions.add(batch)
    state = json.loads(json.dumps(merge_streams([positions.state()])))  # as a checkpoint has it
    start = position_of(state, "web", 6)
    finished = {*range(start.first), *start.beyond}
    assert len(finished) >= 2

    order = [levels[name] for name in shard_names(source)]
    assert all(levels_of(used).count(order[number]) == 2 for number in finished)
    left = [order[number] for number in range(6) if number not in finished]
    data, then = make_data(0, source, shuffle_buffer=1), []
    for rank in range(ranks_then):
        share = 2 * len(left[rank::ranks_then])
        place = {"rank": rank, "world_size": ranks_then, "micro_batch": 1, "first_step": 1}
        then += batches(data, share, streams=state, **place)
    assert sorted(levels_of(then)) == sorted(2 * left)
    assert caplog.text.count("read again from their first samples") == 1


@pytest.mark.slow
def test_a_stream_of_a_checkpoint_without_its_position_begins_anew_and_says_so(streamed, caplog):
    source, _ = streamed
    batches(make_data(0, source), 1, first_step=3)
    assert "'web' is a stream and cannot return to step 3 exactly: no position" in caplog.text


@pytest.mark.slow
@pytest.mark.parametrize("one_length", [4, (6, 3)])
def test_every_loading_process_meets_both_lengths_of_streams(make_shard, make_video, one_length):
    """By turns one would read images alone, and of clips its share would never be read."""
    levels = {"short": (20, 50), "long": (80, 110)}
    of_lengths = []
    for name, frames in (("short", 2), ("long", 4)):
        shards = [
            make_shard(f"{name}{n}.tar", {f"{name}{n}": make_video(4, levels=[level] * 4)})
            for n, level in enumerate(levels[name])
        ]
        clip = ClipConfig(frames=frames, fps=10.0)
        piped = tuple(f"pipe:cat {shard}" for shard in shards)
        of_lengths.append(SourceConfig(name=name, shards=piped, clip=clip))
    data = make_data(2, of_lengths[0], shuffle_buffer=1)
    data = data.model_copy(update={"sources": tuple(of_lengths), "of_one_length": one_length})
    parts = batches(data, 24)
    assert all(len(part.content.groups) == 1 for part in parts)
    for process in (0, 1):  # they give micro-batches by turns
        assert {part.content.groups[0].clips.shape[1] for part in parts[process::2]} == {2, 4}
    assert set(levels_of(parts)) == {*levels["short"], *levels["long"]}


@pytest.mark.slow
def test_a_silent_stream_costs_its_shard_and_not_the_run(make_shard, make_video):
    good = make_shard("a.tar", {"1": make_video(4)})
    source = SourceConfig(shards=("pipe:sleep 100", f"pipe:cat {good}"), clip=CLIP)
    data = make_data(1, source, stream_timeout_s=0.2, shuffle_buffer=2)
    parts = batches(data, 2)
    assert [part.content.num_samples for part in parts] == [4, 4]
    skips = {(skip.reason, skip.shard) for part in parts for skip in part.origin.skipped}
    assert skips == {("stalled_shard", "pipe:sleep 100")}


def test_where_every_shard_is_away_the_loader_says_so_and_the_run_may_start_again(caplog):
    # nothing listens at port 1
    source = SourceConfig(name="web", shards="http://127.0.0.1:1/{0..9}.tar", clip=CLIP)
    data = make_data(1, source, stream_retry_s=0.1, max_attempts=3)
    with pytest.raises(DataAwayError, match=r"3 samples of source 'web'.*unreachable_shard"):
        batches(data, 1)


@pytest.mark.slow
def test_lost_shards_are_named_but_not_each(make_shard, make_video, caplog):
    good = make_shard("a.tar", {"1": make_video(4)})
    shards = ("pipe:exit 3", f"pipe:cat {good}")
    source = SourceConfig(shards=shards, clip=CLIP)
    batches(make_data(0, source, stream_retry_s=0.0, shuffle_buffer=1), 2)
    told = [record.message for record in caplog.records if "lost" in record.message]
    assert "in pipe:exit 3: unreadable_shard; 1 so far in this process" in told[0]
    assert [text.split("; ")[1].split()[0] for text in told] == ["1", "2", "4", "8"][: len(told)]
    assert 1 < len(told) <= 4
