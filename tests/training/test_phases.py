"""A step of several losses: each trains its own, and all of it is one run."""

import json
import signal

import pytest
import torch

from tests.training import torchrun
from tests.training import toy_run as toy
from tests.training.forked import Forked
from worldmodel_train.training.config import DeepSpeedConfig, Fsdp2Strategy
from worldmodel_train.training.optim import OptimConfig
from worldmodel_train.training.randomness import seed_forward, seed_weights
from worldmodel_train.training.run import pretrain
from worldmodel_train.training.strategies.strategy import refuse_unsuited

CONSTANT = OptimConfig.model_validate(
    {
        "lr": {"name": "constant", "value": 1e-2},
        "weight_decay": {"name": "constant", "value": 0.1},
        "ema": {"name": "constant", "value": 0.9},
        "clip_grad_norm": 0.05,
    }
)


@pytest.fixture
def run(tmp_path):
    def start(name="run", **options):
        pretrain(toy.toy_parts(tmp_path / name, **({"objective": toy.PhasedToy} | options)))
        return tmp_path / name

    return start


def test_it_equals_a_plain_loop_with_an_optimizer_for_each_phase_to_the_bit(run, weights):
    trained = weights(run(steps=5, optim=CONSTANT))
    seed_weights(3)
    plain = toy.PhasedToy()
    optimizers = {
        name: torch.optim.AdamW(
            [
                {"params": [p for p in part.parameters() if p.ndim > 1], "weight_decay": 0.1},
                {"params": [p for p in part.parameters() if p.ndim == 1], "weight_decay": 0.0},
            ],
            lr=1e-2,
            fused=True,
        )
        for name, part in (("critic", plain.critic), ("actor", plain.actor))
    }
    for step in range(5):
        seed_forward(3, step, 0, 0)
        for phase in plain.phases(toy.make_batch(4 * step, 4).content):
            plain.zero_grad()
            phase.losses().total.backward()
            own = list(plain.get_submodule(phase.name).parameters())
            torch.nn.utils.clip_grad_norm_(own, 0.05)
            optimizers[phase.name].step()
        with torch.no_grad():
            for teacher, student in zip(
                plain.teacher.parameters(), plain.critic.parameters(), strict=True
            ):
                teacher.lerp_(student, 1 - 0.9)
    for name, tensor in plain.state_dict().items():
        assert torch.equal(trained[name], tensor), name


def test_a_phase_leaves_the_parameters_of_others_alone(run, weights):
    class Indifferent(toy.PhasedToy):
        def phases(self, content):
            critic, actor = super().phases(content)
            before = [p.clone() for p in self.actor.parameters()]

            def checked():
                assert all(map(torch.equal, before, self.actor.parameters()))
                losses = actor.losses()
                after.append(torch.cat([p.detach().flatten() for p in self.critic.parameters()]))
                return losses

            return [critic, toy.Phase(name="actor", groups=actor.groups, losses=checked)]

    after = []
    trained = weights(run(objective=Indifferent, steps=3))
    critic = [trained[name].flatten() for name in trained if name.startswith("critic")]
    assert len(after) == 3
    assert torch.equal(torch.cat(critic), after[-1])


def test_the_loss_is_the_sum_and_each_phase_is_reported(run):
    lines = (run(steps=2) / "metrics.jsonl").read_text().splitlines()
    for line in map(json.loads, lines):
        critic, actor = line["terms/critic"], line["terms/actor"]
        assert line["loss"] == pytest.approx(critic["loss"] + actor["loss"])
        assert critic["l2"] == critic["loss"]
        assert actor.keys() == {"loss", "grad_norm"}
        norm = (critic["grad_norm"] ** 2 + actor["grad_norm"] ** 2) ** 0.5
        assert line["grad_norm"] == pytest.approx(norm)


def test_the_trainer_counts_one_step_for_all_phases(tmp_path):
    result = pretrain(toy.toy_parts(tmp_path, objective=toy.PhasedToy, steps=3))
    assert (result.step, result.exit_code) == (3, 0)


def test_a_resumed_run_equals_an_unbroken_one(run, losses, weights, assert_same):
    def stop(step):
        if step == 4:
            signal.raise_signal(signal.SIGTERM)

    unbroken, resumed = run("one"), run("two", at_batch=stop)
    assert len(losses(resumed)) < 8
    run("two")
    assert losses(unbroken) == losses(resumed)
    assert len(losses(resumed)) == 8
    assert_same(weights(unbroken), weights(resumed))


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ((), r"train group 'actor' 0 times.*train each of these in one phase"),
        (("actor", "actor_no_decay", "critic"), "train group 'critic' 2 times"),
        (("actor", "actor_no_decay", "heads"), r"'heads' 1 times, and the objective has .* critic"),
    ],
)
def test_groups_that_are_not_trained_once_are_refused(run, groups, message):
    class Wrong(toy.PhasedToy):
        def phases(self, content):
            critic, actor = super().phases(content)
            return [critic, toy.Phase(name="actor", groups=groups, losses=actor.losses)]

    with pytest.raises(ValueError, match=message):
        run(objective=Wrong)


def test_a_parameter_that_its_phase_does_not_reach_is_refused(run):
    class Idle(toy.PhasedToy):
        def __init__(self):
            super().__init__()
            self.actor.idle = torch.nn.Linear(2, 2)

    with pytest.raises(ValueError, match=r"phase actor of Idle trains .* gives 2 of these param"):
        run(objective=Idle)


def test_accumulated_batches_are_refused(run):
    with pytest.raises(ValueError, match=r"train\.global_batch=4 takes 2 forward.*global_batch=2"):
        run(micro_batch=2)


@pytest.mark.parametrize("chosen", [Fsdp2Strategy(name="fsdp2"), DeepSpeedConfig(zero_stage=1)])
def test_sharding_is_refused(tmp_path, chosen):
    train = toy.toy_parts(tmp_path).train
    with pytest.raises(ValueError, match=rf"train\.strategy={chosen.name} .*ddp or single"):
        refuse_unsuited(toy.PhasedToy(), chosen, train, micro_batches=1)


@pytest.mark.distributed
def test_two_ranks_equal_one_process(tmp_path, losses, weights):
    options = {"phased": True, "dropout": 0.0, "steps": 6}
    of_two = options | {"run_dir": str(tmp_path / "two"), "micro_batch": 2}
    ranks = [Forked("toy_run", of_two, place) for place in torchrun.places(2)]
    toy.main(options | {"run_dir": str(tmp_path / "one")})
    assert [rank.wait() for rank in ranks] == [0, 0]
    for step, loss in losses(tmp_path / "one").items():
        assert losses(tmp_path / "two")[step] == pytest.approx(loss, rel=1e-5)
    for name, tensor in weights(tmp_path / "one").items():
        torch.testing.assert_close(weights(tmp_path / "two")[name], tensor, rtol=1e-4, atol=1e-5)
