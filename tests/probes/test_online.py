import pytest
import torch

from worldmodel_train.probes.online import OnlineProbe, ProbedRows, cells_of

CLASSES = 2


def rows(number=50, *, seed=0, told=0.0, width=16):
    """Random latents and pixels; labels show in the latents by `told`."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(CLASSES, (number,), generator=generator)
    latents = torch.randn(number, width, generator=generator)
    latents[:, 0] += told * labels
    pixels = torch.randn(number, 4, generator=generator)
    return ProbedRows(latents=latents, pixels=pixels, labels=labels)


def values(probe):
    return {name.partition("/")[2]: value.item() for name, value in probe.values().items()}


def after(batches, probe=None):
    probe = probe or OnlineProbe(CLASSES)
    for batch in batches:
        probe.take(batch)
    return probe


def test_what_shows_in_latents_is_found_and_what_does_not_show_in_pixels_is_not():
    found = values(after(rows(seed=seed, told=5.0) for seed in range(20)))
    assert found["accuracy"] > 0.95
    assert 0.4 < found["pixels"] < 0.6
    assert 0.4 < found["majority"] < 0.6


def test_labels_are_not_known_before_they_were_asked_for():
    wide = [rows(20, seed=seed, width=200) for seed in range(20)]
    assert 0.4 < values(after(wide))["accuracy"] < 0.6


def test_a_clip_that_comes_again_is_known():
    same = [rows(20, width=200)] * 20
    assert values(after(same))["accuracy"] > 0.95


def test_the_commonest_class_is_that_of_the_clips_before():
    one, other = (
        ProbedRows(
            latents=torch.randn(10, 4),
            pixels=torch.randn(10, 4),
            labels=torch.full((10,), label),
        )
        for label in (1, 0)
    )
    assert values(after([one, one]))["majority"] == 1.0
    assert values(after([one, other]))["majority"] == 0.0


def test_there_is_nothing_to_report_before_the_second_time():
    assert after([]).values() == after([rows()]).values() == {}


def test_a_probe_that_goes_on_from_its_state_is_the_same():
    batches = [rows(seed=seed, told=1.0) for seed in range(8)]
    unbroken = after(batches)
    for stop in (0, 1, 2, 7):
        resumed = OnlineProbe(CLASSES)
        resumed.load(after(batches[:stop]).state())
        after(batches[stop:], resumed)
        assert values(resumed) == values(unbroken)
        for name, tensor in unbroken.state().items():
            assert torch.equal(tensor, resumed.state()[name]), name


@pytest.mark.parametrize("none", ["no label", "not finite"])
def test_a_row_that_is_no_clip_changes_nothing(none):
    batches = [rows(seed=seed, told=1.0) for seed in range(6)]
    expected = values(after(batches))

    def spoilt(batch):
        broken = batch.latents.clone()
        labels = batch.labels.clone()
        if none == "no label":
            labels[:] = -1
        else:
            broken[:] = float("nan")
        return ProbedRows(latents=broken, pixels=batch.pixels, labels=labels)

    with_none = [
        ProbedRows(
            **{
                name: torch.cat((getattr(batch, name), getattr(spoilt(batch), name)))
                for name in ("latents", "pixels", "labels")
            }
        )
        for batch in batches
    ]
    found = after(with_none)
    assert all(tensor.isfinite().all() for tensor in found.state().values())
    assert values(found) == pytest.approx(expected, abs=1e-12)


def test_pixels_are_means_over_time_and_place():
    clips = torch.zeros(2, 4, 16, 24, 3, dtype=torch.uint8)
    clips[0, 2:, :2, :3, 1] = 255
    cells = cells_of(clips).unflatten(1, (3, 2, 8, 8))
    assert cells[0].nonzero().tolist() == [[1, 1, 0, 0]]
    assert cells[0, 1, 1, 0, 0] == 1
    assert cells_of(clips[:, :1]).shape == cells_of(clips).shape
