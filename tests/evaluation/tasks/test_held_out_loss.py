import pytest

from worldmodel_train.evaluation.tasks.held_out_loss import Config


def test_the_loss_and_its_terms_are_numbers_of_the_method(patch_means, subject):
    models = subject(patch_means(error=0.1), patch_means(error=0.5))
    result = Config(batch_size=3, seeds=(0, 1)).run(models)
    loss, error = result.numbers
    assert (loss.name, error.name) == ("loss of test/method", "error of test/method")
    assert error.trained.mean == pytest.approx(0.1)
    assert error.baselines["untrained"].mean == pytest.approx(0.5)
    # what is drawn at random is the same for both
    gaps = [
        b - a for a, b in zip(loss.trained.values, loss.baselines["untrained"].values, strict=True)
    ]
    assert gaps == pytest.approx([0.4, 0.4])
    assert len(set(loss.trained.values)) == 2
    assert result.verdicts[0].good
    assert result.measured_on.startswith("7 held-out samples, with 2 draws")


def test_a_loss_that_is_not_lower_in_every_draw_has_not_fallen(patch_means, subject):
    models = subject(patch_means(error=0.5), patch_means(error=0.5))
    assert not Config().run(models).verdicts[0].good
