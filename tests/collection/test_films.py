from itertools import islice

import numpy as np
import pytest
import torch

from worldmodel_train.cli.run_spec import pretrain_parts
from worldmodel_train.collection.film_batches import FilmBatches
from worldmodel_train.collection.films import FilmsConfig
from worldmodel_train.config import RecipeError
from worldmodel_train.data.loader_position import LoaderPosition
from worldmodel_train.data.preparation import as_read
from worldmodel_train.recipe import load_recipe

FILMS = "{name: data/films, clip: {frames: 4, fps: 8}, size: 32, loader: {workers: 0}}"
VJEPA = (
    f"data={FILMS}", "method.encoder.patch=8",
    "method.encoder.size={width: 32, depth: 1, heads: 2}",
    "method.predictor={width: 24, depth: 1, heads: 2, mask_tokens: 2}",
    "train.steps=4", "train.global_batch=4", "train.micro_batch=4", "optim.lr.warmup_steps=1",
    "log.every_steps=1", "log.image_every=4", "checkpoint.every_steps=2",
)  # fmt: skip


def config(**changes):
    values = {"name": "data/films", "clip": {"frames": 4, "fps": 8.0}, "size": 32}
    return FilmsConfig.model_validate({**values, "loader": {"workers": 0}, **changes})


def position(**changes):
    whole = {"seed": 3, "rank": 0, "world_size": 1, "micro_batch": 4, "global_batch": 8}
    return LoaderPosition(**{**whole, "first_step": 0, **changes})


def batches(films, count, **changes):
    return list(islice(FilmBatches(films, as_read, position(**changes)), count))


def by_sample(read):
    """The pixels of each sample."""
    contents = [batch.content for batch in read]
    return {
        n: pixels
        for clips in contents
        for n, pixels in zip(clips.samples, clips.pixels, strict=True)
    }


def test_a_film_is_a_function_of_the_seed_and_its_number():
    first, again = by_sample(batches(config(), 2)), by_sample(batches(config(), 2, micro_batch=8))
    assert set(first) == set(range(8)) < set(again)
    assert all(torch.equal(first[n], again[n]) for n in first)
    others = by_sample(batches(config(), 2, seed=4))
    assert not any(torch.equal(first[n], others[n]) for n in first)
    assert not torch.equal(first[0], first[1])


def test_a_resumed_run_goes_on_with_the_films_it_would_have_had():
    through, resumed = (
        by_sample(batches(config(), 6)),
        by_sample(batches(config(), 2, first_step=2)),
    )
    assert set(resumed) == set(range(16, 24))
    assert all(torch.equal(resumed[n], through[n]) for n in resumed)


def test_ranks_share_the_films_of_a_step():
    shares = [by_sample(batches(config(), 1, world_size=2, rank=rank)) for rank in (0, 1)]
    assert [sorted(share) for share in shares] == [[0, 1, 2, 3], [4, 5, 6, 7]]
    whole = by_sample(batches(config(), 2))
    assert all(torch.equal(share[n], whole[n]) for share in shares for n in share)


@pytest.mark.slow
def test_loading_processes_change_nothing():
    films = config(loader={"workers": 2, "prefetch": 1})
    made = list(islice(films.build_loader(None, position()), 3))
    here = by_sample(batches(config(), 3))
    assert [batch.origin.first_sample for batch in made] == [0, 4, 8]
    assert all(torch.equal(pixels, here[n]) for n, pixels in by_sample(made).items())


def test_held_out_films_are_others_and_always_the_same():
    fixed = config().held_out_clips(limit=70, clips_per_video=8)
    assert fixed.clips.shape == (70, 4, 32, 32, 3)
    assert len(set(fixed.keys)) == 70
    assert torch.equal(config().held_out_content(3).pixels, fixed.clips[:3])
    trained = torch.stack(list(by_sample(batches(config(), 8)).values()))
    assert not (fixed.clips[:, None] == trained).flatten(2).all(dim=2).any()
    assert fixed.times[0].tolist() == [0, 0.125, 0.25, 0.375]


def test_held_out_films_may_be_of_other_scenes():
    wild = config(held_out={"scene": {"things": 4, "radius": [0.05, 0.08], "texture": True}})
    assert not torch.equal(wild.held_out_content(1).pixels, config().held_out_content(1).pixels)
    assert torch.equal(batches(wild, 1)[0].content.pixels, batches(config(), 1)[0].content.pixels)


def test_labels_are_the_shape_or_whether_things_collide():
    of_shape = config(label="shape", scene={"things": 1, "shapes": 3})
    assert of_shape.facts().classes == ("disc", "square", "triangle")
    fixed = of_shape.held_out_clips(limit=40, clips_per_video=1)
    assert set(fixed.labels) == set(of_shape.classes)
    assert [of_shape.classes[n] for n in fixed.class_numbers] == list(fixed.labels)
    (batch,) = batches(config(label="collision", clip={"frames": 16, "fps": 8.0}), 1, micro_batch=8)
    assert set(batch.content.labels.tolist()) == {0, 1}


def test_ranks_share_held_out_films_as_videos_of_their_own():
    fixed = config(label="collision").held_out_clips(limit=5, clips_per_video=1)
    shares = [list(fixed.as_videos(first=rank, every=2)) for rank in range(2)]
    assert [[video.number for video in share] for share in shares] == [[0, 2, 4], [1, 3]]
    for video in (*shares[0], *shares[1]):
        assert torch.equal(video.clips, fixed.clips[video.number][None])
        assert video.class_number == int(fixed.class_numbers[video.number])
        assert (video.key, video.label) == (fixed.keys[video.number], fixed.labels[video.number])


def test_half_of_all_films_are_fast_and_a_label_changes_no_picture():
    plain, labelled = (batches(config(label=label), 8) for label in (None, "speed"))
    for one, other in zip(plain, labelled, strict=True):
        assert torch.equal(one.content.pixels, other.content.pixels)
    labels = torch.cat([batch.content.labels for batch in labelled]).double()
    assert 0.2 < labels.mean() < 0.8
    slow = config(label="speed", held_out={"scene": {"speed": [0.1, 0.1]}})
    assert slow.held_out_clips(limit=4, clips_per_video=1).labels == ("slow",) * 4


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"label": "shape"}, "things=2; use things: 1"),
        ({"label": "collision", "scene": {"things": 1}}, "needs two things"),
        (
            {"label": "shape", "scene": {"things": 1, "shapes": 2},
             "held_out": {"scene": {"things": 1}}},
            "classes that are not trained on; use 2 or fewer",
        ),
    ],
)  # fmt: skip
def test_labels_that_the_scenes_do_not_have_are_refused(changes, complaint):
    with pytest.raises(ValueError, match=complaint):
        config(**changes)


def test_a_size_that_is_no_whole_number_of_patches_is_refused_at_its_key():
    with pytest.raises(RecipeError, match=r"data\.size.*36 is not a multiple of .*patch=8"):
        load_recipe("demo", [*VJEPA, "data.size=36"])


def test_masked_films_are_batches_of_a_vjepa_and_pictures_are_of_the_held_out():
    recipe = load_recipe("demo", VJEPA)
    spec = pretrain_parts(recipe, "never")
    (batch,) = islice(spec.build_loader(rank=0, world_size=1, first_step=0), 1)
    (group,) = batch.content.groups
    assert group.clips.shape == (4, 4, 32, 32, 3)
    assert len(group.masks) == 2
    (pictured,) = spec.load_pictures().groups
    assert torch.equal(pictured.clips, recipe.data.held_out_content(4).pixels)


def test_films_of_a_batch_move():
    (batch,) = batches(config(), 1)
    frames = batch.content.pixels.numpy().astype(np.int64)
    assert (np.abs(np.diff(frames, axis=1)).sum(axis=(2, 3, 4)) > 0).all()
