import pytest
import torch

from worldmodel_train.batch import Batch, Origin, Skip
from worldmodel_train.data.health import BadDataError, SkipLedger, Tally
from worldmodel_train.types import ClipGroup, MaskedClips


def batch(good, bad, reason="corrupt_video"):
    clips = torch.zeros(good, 1, 1, 1, 3, dtype=torch.uint8)
    skipped = tuple(Skip(reason, "/data/007.tar", f"clip{i}") for i in range(bad))
    return Batch(
        content=MaskedClips(groups=(ClipGroup(clips=clips, masks=()),)),
        origin=Origin(first_sample=0, skipped=skipped),
    )


def settle(ledger, *batches):
    for one in batches:
        ledger.add(one)
    ledger.settle([ledger.take()])


def test_reasons_are_counted():
    ledger = SkipLedger(max_bad_share=0.5)
    settle(ledger, batch(6, 1), batch(6, 2, "missing_json"))
    assert ledger.counts == {"corrupt_video": 1, "missing_json": 2}
    assert ledger.share == 3 / 15


def test_past_the_limit_the_error_names_share_limit_shard_key_and_reasons():
    ledger = SkipLedger(max_bad_share=0.05)
    with pytest.raises(BadDataError) as error:
        settle(ledger, batch(90, 10))
    for part in ("10.0%", "5.0%", "/data/007.tar", "clip9", "corrupt_video"):
        assert part in str(error.value)


def test_past_the_limit_the_error_says_that_it_was_waiting_for_the_decoder():
    ledger = SkipLedger(max_bad_share=0.05)
    with pytest.raises(BadDataError, match=r"decode_timeout 9, .*data\.decoder\.timeout_s"):
        settle(ledger, batch(90, 9, "decode_timeout"), batch(0, 3))


def test_a_few_bad_samples_at_the_start_do_not_stop_the_run():
    ledger = SkipLedger(max_bad_share=0.05, min_seen=400)
    settle(ledger, batch(2, 8))
    for _ in range(50):
        settle(ledger, batch(10, 0))
    assert ledger.num_skipped == 8


def test_a_share_at_the_limit_is_allowed():
    ledger = SkipLedger(max_bad_share=0.5, min_seen=10)
    settle(ledger, batch(10, 10))
    assert ledger.share == 0.5


def test_the_tallies_of_all_processes_are_judged_together_and_counted_once():
    one, other = SkipLedger(max_bad_share=0.05), SkipLedger(max_bad_share=0.05)
    one.add(batch(60, 0))
    other.add(batch(60, 9, "missing_json"))
    tallies = [one.take(), other.take()]
    for ledger in (one, other):
        with pytest.raises(BadDataError, match=r"9 of 129 samples are bad"):
            ledger.settle(tallies)
        assert ledger.counts == {"missing_json": 9}
        assert ledger.take() == Tally(good=0)
