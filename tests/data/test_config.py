import pytest
from pydantic import ValidationError

from worldmodel_train.data.config import AugmentConfig, DataConfig
from worldmodel_train.data.source_config import ClipConfig, SourceConfig

SOURCE = {"name": "a", "shards": "a/*.tar", "clip": {"frames": 16, "fps": 4}}
AUGMENT = {"size": 64}


def test_the_recipes_form_is_read():
    data = DataConfig.model_validate({"sources": [SOURCE], "augment": AUGMENT})
    assert data.sources[0].clip == ClipConfig(frames=16, fps=4.0)
    assert data.held_out is None


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"sources": [SOURCE, SOURCE], "augment": AUGMENT}, "two are named 'a'"),
        ({"sources": [], "augment": AUGMENT}, "sources"),
        ({"sources": [SOURCE], "augment": {"size": 64, "scale": [0.5, 0.2]}}, "scale"),
        ({"sources": [SOURCE], "augment": {"size": 64, "aspect": [0, 2]}}, "aspect"),
        ({"sources": [SOURCE], "augment": AUGMENT, "decoder": {"name": "gpu"}}, "decoder"),
        *(
            ({"sources": [SOURCE], "augment": AUGMENT, part: {key: 1 << 62}}, key)
            for part, key in (
                *(("decoder", "timeout_s"), ("decoder", "memory_mb")),
                ("loader", "stream_timeout_s"),
            )
        ),
        ({"sources": [{**SOURCE, "fsp": 4}], "augment": AUGMENT}, "fsp"),
        (
            {"sources": [{**SOURCE, "clip": {"frames": 4, "frame_step": 2}}], "augment": AUGMENT},
            r"clip\.frame_step=2 of source 'a'.*protocol=vjepa2",
        ),
        (
            {
                "sources": [SOURCE],
                "held_out": {**SOURCE, "protocol": "vjepa2"},
                "augment": {"size": [96, 160]},
            },
            r"augment\.size=\[96, 160\] with protocol=vjepa2.*augment\.size=96",
        ),
    ],
)
def test_mistakes_are_refused(data, message):
    with pytest.raises(ValidationError, match=message):
        DataConfig.model_validate(data)


def test_only_pipes_and_urls_stream():
    clip = ClipConfig(frames=1)
    assert SourceConfig(shards=("pipe:cat a.tar", "s3://b/c.tar"), clip=clip).streams
    assert not SourceConfig(shards="assets:demo/*.tar", clip=clip).streams


def test_clip_lengths_are_counted_as_the_sources_first_name_them():
    frames = {"a": 64, "b": 16, "c": 64, "d": 4}
    sources = [{**SOURCE, "name": name, "clip": {"frames": n}} for name, n in frames.items()]
    data = DataConfig.model_validate({"sources": sources, "augment": AUGMENT})
    assert [data.length_index(n) for n in (64, 16, 4)] == [0, 1, 2]
    assert data.length_index(12) == 1  # not trained on: the nearest


def test_a_clip_knows_its_seconds():
    assert ClipConfig(frames=3, fps=4.0).offsets == (0.0, 0.25, 0.5)


def test_augmentation_allows_no_randomness():
    assert AugmentConfig(size=8, scale=(1, 1), aspect=(1, 1), flip=0).flip == 0
