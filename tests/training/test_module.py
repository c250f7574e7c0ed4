"""What happens at micro-batches, and what only at optimizer steps."""

import pytest
import torch
from safetensors.torch import load_file
from torch.optim.optimizer import register_optimizer_step_post_hook

from tests.training import toy_run as toy
from worldmodel_train.training.checkpoints.reader import read_weights
from worldmodel_train.training.config import LogConfig
from worldmodel_train.training.ema import Ema
from worldmodel_train.training.optim import OptimConfig
from worldmodel_train.training.run import pretrain


def test_accumulated_micro_batches_equal_the_big_batch(tmp_path, losses, weights):
    one, four = tmp_path / "one", tmp_path / "four"
    pretrain(toy.toy_parts(one, dropout=0.0, micro_batch=4))
    pretrain(toy.toy_parts(four, dropout=0.0, micro_batch=1))
    for step, loss in losses(one).items():
        assert loss == pytest.approx(losses(four)[step], rel=1e-5)
    for name, tensor in weights(one).items():
        if not name.endswith("passes"):
            torch.testing.assert_close(tensor, weights(four)[name], rtol=1e-4, atol=1e-5)


def test_gradients_are_averaged_over_micro_batches_not_summed(tmp_path):
    seen = {}

    def record(micro_batch):
        def build():
            objective = toy.ToyJepa(dropout=0.0)
            weight = objective.encoder[0].weight
            weight.register_post_accumulate_grad_hook(
                lambda p: seen.__setitem__(micro_batch, p.grad.clone())
            )
            return objective

        return build

    for micro_batch in (4, 2, 1):
        options = {"micro_batch": micro_batch, "steps": 1, "objective": record(micro_batch)}
        pretrain(toy.toy_parts(tmp_path / str(micro_batch), **options))
    torch.testing.assert_close(seen[2], seen[4])
    torch.testing.assert_close(seen[1], seen[4])


def test_the_teacher_moves_once_per_optimizer_step_and_is_saved_in_step(
    tmp_path, weights, monkeypatch
):
    momenta = []
    real = Ema.update
    monkeypatch.setattr(Ema, "update", lambda self, m: (momenta.append(m), real(self, m))[1])
    pretrain(toy.toy_parts(tmp_path, steps=3, global_batch=8, micro_batch=2))
    assert momenta == pytest.approx([0.9, 0.9 + 0.1 / 3, 0.9 + 0.2 / 3])
    saved = weights(tmp_path)
    # the buffer is copied from student to teacher: equal means no step is missing
    assert saved["encoder.passes"] == saved["teacher.passes"] == 12


def test_the_saved_teacher_is_the_running_average_of_the_saved_students(tmp_path):
    pretrain(toy.toy_parts(tmp_path, steps=4, save_every=1))
    saved = [read_weights(tmp_path / "checkpoints" / f"step_{n:08d}") for n in range(1, 5)]
    teacher = saved[0]["teacher.0.weight"]
    for index, state in enumerate(saved[1:], start=1):
        momentum = 0.9 + 0.1 * index / 4
        teacher = momentum * teacher + (1 - momentum) * state["encoder.0.weight"]
        torch.testing.assert_close(state["teacher.0.weight"], teacher)


def test_the_host_does_not_wait_for_the_device_between_readings(tmp_path, monkeypatch):
    """Counts every way from a tensor to a Python value inside the training loop."""
    waits: list[str] = []
    for name in ("item", "tolist", "__bool__", "__float__", "__int__", "numpy"):
        real = getattr(torch.Tensor, name)

        def counted(self, *args, name=name, real=real):
            waits.append(name)
            return real(self, *args)

        monkeypatch.setattr(torch.Tensor, name, counted)
    at_step: dict[int, int] = {}
    parts = toy.toy_parts(
        tmp_path,
        steps=30,
        micro_batch=2,
        log=LogConfig(every_steps=20),
        at_batch=lambda step: at_step.setdefault(step, len(waits)),
    )
    pretrain(parts)
    assert at_step[19] == at_step[4]  # nothing between the reading of step 1 and that of step 20
    assert at_step[25] > at_step[4]  # the count does count


@pytest.mark.parametrize(
    ("clip", "limit"),
    [
        ({}, None),
        ({"clip_grad_norm": 1e-3}, 1e-3),
        ({"clip_grad": {"norm": 1e-3}}, 1e-3),
        ({"clip_grad": {"norm": 1e-3, "from_step": 1}}, None),
    ],
)
def test_clipping_bounds_the_gradients_only_where_asked(tmp_path, clip, limit):
    optim = OptimConfig.model_validate(toy.OPTIM | clip)
    grads = {}
    parts = toy.toy_parts(tmp_path, steps=1, optim=optim, dropout=0.0)
    handle = register_optimizer_step_post_hook(
        lambda optimizer, args, kwargs: grads.update(
            {id(p): p.grad.clone() for g in optimizer.param_groups for p in g["params"]}
        )
    )
    result = pretrain(parts)
    handle.remove()
    norm = torch.nn.utils.get_total_norm(list(grads.values())).item()
    assert result.last_metrics.values["grad_norm"] > 1e-2  # reported before clipping
    if limit is None:
        assert norm == pytest.approx(result.last_metrics.values["grad_norm"])
    else:
        assert norm == pytest.approx(limit, rel=1e-3)


def test_a_method_with_a_teacher_needs_a_momentum(tmp_path):
    optim = OptimConfig.model_validate(toy.OPTIM | {"ema": None})
    with pytest.raises(ValueError, match=r"optim\.ema is null"):
        pretrain(toy.toy_parts(tmp_path, optim=optim))


def test_a_method_without_a_teacher_refuses_a_momentum(tmp_path):
    def build():
        objective = toy.ToyJepa()
        objective.ema_pairs = list
        return objective

    with pytest.raises(ValueError, match=r"optim\.ema is set"):
        pretrain(toy.toy_parts(tmp_path, objective=build))


def test_bf16_keeps_weights_moments_and_teacher_in_fp32(tmp_path, weights):
    result = pretrain(toy.toy_parts(tmp_path, steps=2, precision="bf16"))
    moments = load_file(result.checkpoint / "moments-00000.safetensors")
    tensors = [*weights(tmp_path).values(), *moments.values()]
    assert {tensor.dtype for tensor in tensors} == {torch.float32}


def test_the_seed_alone_decides_the_weights(tmp_path, weights, assert_same):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        torch.manual_seed(len(name) + 10 * seed)
        pretrain(toy.toy_parts(tmp_path / name, steps=1, seed=seed))
    assert_same(weights(tmp_path / "a"), weights(tmp_path / "b"))
    other = weights(tmp_path / "c")["encoder.0.weight"]
    assert not torch.equal(other, weights(tmp_path / "a")["encoder.0.weight"])
