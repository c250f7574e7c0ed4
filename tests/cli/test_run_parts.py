from worldmodel_train.cli import run_parts
from worldmodel_train.data.preparation import as_read
from worldmodel_train.recipe import load_recipe


def test_a_method_that_prepares_nothing_is_given_clips_as_they_are_read(monkeypatch):
    given = []

    def build_loader(data, prepare, *, position):
        del data, position
        given.append(prepare)
        return ()

    monkeypatch.setattr(run_parts, "build_loader", build_loader)
    parts = run_parts.pretrain_parts(load_recipe("video_diffusion_tiny"), "never")
    parts.build_loader(rank=0, world_size=1, first_step=0)
    assert given == [as_read]
