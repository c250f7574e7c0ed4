import torch

from worldmodel_train.evaluation.probe_suite import LabelledFeatures, group_splits, run_probes

DRAWERS = torch.arange(12).repeat(10)


def test_splits_hold_out_whole_groups_and_each_group_once():
    splits = list(group_splits(DRAWERS, splits=3, held_out=4))
    assert torch.stack(splits).sum(dim=0).eq(1).all()
    for test in splits:
        assert len(DRAWERS[test].unique()) == 4
        assert not set(DRAWERS[test].tolist()) & set(DRAWERS[~test].tolist())


def test_splits_are_the_same_on_every_call():
    one_way, again = (group_splits(DRAWERS, splits=2, held_out=3) for _ in range(2))
    for one, other in zip(one_way, again, strict=True):
        assert (one == other).all()


def test_features_that_tell_only_the_drawer_say_nothing_about_new_drawers():
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 2, (120,), generator=generator)
    noise = torch.randn(120, 4, generator=generator) * 0.1
    data = LabelledFeatures(
        features={
            "label": noise + labels[:, None],
            "drawer": torch.randn(12, 4, generator=generator)[DRAWERS],
        },
        labels={"side": labels},
        groups=DRAWERS,
    )
    splits = list(group_splits(DRAWERS, splits=3, held_out=4))
    suite = run_probes(data, splits, neighbours=5)
    good, useless = suite.tasks[0].scores
    assert good.knn.mean > 0.95
    assert good.linear.mean > 0.95
    assert useless.linear.mean < 0.75
    assert (suite.num_train, suite.num_test, suite.num_splits) == (80, 40, 3)
