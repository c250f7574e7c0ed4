import json
import shutil
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from einops import rearrange

from worldmodel_train.cli.measure import last_of, measure_checkpoint
from worldmodel_train.cli.objectives import load_part, trained_objective
from worldmodel_train.cli.run_spec import pretrain_parts
from worldmodel_train.collection.act_out import EpisodeSeed, act_out
from worldmodel_train.collection.open_world import open_world
from worldmodel_train.collection.policies import RandomPolicy
from worldmodel_train.collection.world import View
from worldmodel_train.config.sealed_json import sealed, unsealed
from worldmodel_train.data.trajectories import facts
from worldmodel_train.data.trajectories.write import write_episodes
from worldmodel_train.envs.disc_rooms import Layout, draw, draw_free, move
from worldmodel_train.facts import DataFacts, EpisodeFacts
from worldmodel_train.jepa.leworldmodel import Config
from worldmodel_train.models.frozen import PartConfig
from worldmodel_train.models.strict_state import CheckpointError
from worldmodel_train.models.vit import EncoderConfig
from worldmodel_train.protocols import LatentDynamics, LatentPredictor, Objective
from worldmodel_train.recipe import load_recipe
from worldmodel_train.training.checkpoints.files import META
from worldmodel_train.training.checkpoints.reader import read_weights
from worldmodel_train.training.run import pretrain
from worldmodel_train.types import Trajectories

TINY = Config.tiny()
SMALL = (
    "train.micro_batch=8", "train.global_batch=8", "checkpoint.every_steps=2",
    "optim.lr={name: constant, value: 1e-3}", "data.loader.workers=0", "log.every_steps=1",
    "method.sigreg.directions=16", "method.encoder.patch=32",
)  # fmt: skip
GATES = 0.5  # spread of the modulation where a test opens the gates, which begin closed


@pytest.fixture
def objective():
    torch.manual_seed(0)
    return TINY.build()


@pytest.fixture
def model(objective):
    """One that has learned something, ready to plan with."""
    for block in objective.predictor.transformer.blocks:
        torch.nn.init.normal_(block.modulation.proj.weight, std=GATES)
    _train(objective, steps=1)
    return objective.eval()


def test_it_offers_what_training_and_planning_call(objective):
    assert isinstance(objective, Objective)
    assert isinstance(objective, LatentDynamics)
    assert not isinstance(objective, LatentPredictor)
    assert objective.ema_pairs() == []


def test_the_loss_is_prediction_and_weighted_sigreg(objective):
    losses = _losses(objective)
    total = losses.terms["prediction"] + TINY.sigreg_weight * losses.terms["sigreg"]
    torch.testing.assert_close(losses.total.detach(), total)
    assert losses.latents["predicted"].shape == losses.latents["target"].shape == (8 * 3, 32)
    assert not any(latents.requires_grad for latents in losses.latents.values())


def test_an_encoder_that_is_not_trained_stays_as_drawn_while_the_predictor_learns():
    torch.manual_seed(0)
    objective = TINY.model_copy(update={"train_encoder": False}).build()
    before = {name: p.clone() for name, p in objective.named_parameters()}
    _train(objective, steps=2)
    moved = {
        name.split(".")[0] for name, p in objective.named_parameters() if (p != before[name]).any()
    }
    assert moved == {"predictor"}
    assert all(p.requires_grad for g in objective.parameter_groups() for p in g.parameters)


def test_every_parameter_learns_once_the_gates_are_open_and_is_in_one_group(objective):
    _train(objective, steps=2)
    objective.zero_grad()
    _losses(objective).total.backward()
    assert [n for n, p in objective.named_parameters() if p.grad is None or not p.grad.any()] == []
    grouped = [p for group in objective.parameter_groups() for p in group.parameters]
    assert sorted(map(id, grouped)) == sorted(map(id, objective.parameters()))


def test_gradients_flow_into_targets(objective):
    """The last frame is a target only."""
    seen = []
    objective.encoder.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    objective.sigreg_weight = 0.0
    losses = _losses(objective)
    (gradient,) = torch.autograd.grad(losses.total, seen)
    assert gradient[:, -1].any()


@pytest.mark.slow
def test_sigreg_is_what_keeps_latents_apart():
    spreads = []
    for weight in (1e-9, 1.0):
        torch.manual_seed(0)
        objective = TINY.model_copy(update={"sigreg_weight": weight}).build()
        losses = _train(objective, steps=30)
        spreads.append(losses.latents["target"].std(dim=0).mean())
    assert spreads[0] < 0.3 * spreads[1]
    assert spreads[1] > 0.5


def test_ten_steps_on_one_batch_lower_the_loss(objective):
    before = _losses(objective).total
    assert _train(objective, steps=10).total < 0.9 * before


def test_the_same_seed_gives_the_same_loss_and_another_does_not():
    totals = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        totals.append(_losses(TINY.build()).total)
    assert torch.equal(totals[0], totals[1])
    assert not torch.equal(totals[0], totals[2])


def test_state_round_trips(model):
    torch.manual_seed(5)
    other = TINY.build().eval()
    other.load_state_dict(model.state_dict())
    content = _content()
    first, second = (x.encode(content.observations, content.actions) for x in (model, other))
    assert torch.equal(first.latents, second.latents)
    actions = torch.randn(8, 2, 3, 2)
    assert torch.equal(model.rollout(first, actions), other.rollout(second, actions))


def test_one_step_under_bf16_autocast(objective):
    full = _losses(objective).total
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = _losses(objective)
    losses.total.backward()
    assert losses.total.dtype == losses.latents["target"].dtype == torch.float32
    torch.testing.assert_close(losses.total, full, rtol=5e-2, atol=0)
    assert all(p.grad.dtype == torch.float32 and p.grad.isfinite().all()
               for p in objective.parameters())  # fmt: skip


def test_a_prediction_depends_on_frames_and_actions_up_to_its_own_alone(model):
    torch.manual_seed(1)
    latents, actions = torch.randn(4, 3, 32), torch.randn(4, 3, 2)
    before = model.predictor(latents, actions)
    for changed in (
        model.predictor(latents + _at_step(1, latents), actions),
        model.predictor(latents, actions + _at_step(1, actions)),
    ):
        moved = (changed != before).any(dim=2).any(dim=0)
        assert moved.tolist() == [False, True, True]


def test_a_rollout_is_its_steps_and_the_first_is_what_training_predicts(model):
    content = _content()
    belief = model.encode(content.observations[:, :3], content.actions[:, :2])
    rolled = model.rollout(belief, content.actions[:, 2:, None].expand(-1, 2, 4, -1))
    latents = model.encoder(content.observations[:, :3])
    torch.testing.assert_close(rolled[:, 0, 0], model.predictor(latents, content.actions)[:, -1])
    for step in range(4):
        belief = model.step(belief, content.actions[:, 2])
        torch.testing.assert_close(rolled[:, 1, step], belief.latents[:, -1])


def test_candidates_and_beliefs_do_not_see_each_other(model):
    content = _content()
    belief = model.encode(content.observations, content.actions)
    torch.manual_seed(1)
    actions = torch.randn(8, 5, 4, 2)
    together = model.rollout(belief, actions)
    alone = model.encode(content.observations[[6]], content.actions[[6]])
    torch.testing.assert_close(model.rollout(alone, actions[[6], 3:4]), together[[6], 3:4])


def test_a_rollout_calls_the_predictor_once_a_step_for_all(model):
    calls = []
    model.predictor.register_forward_hook(lambda _m, inputs, _o: calls.append(len(inputs[0])))
    content = _content()
    model.rollout(model.encode(content.observations, content.actions), torch.randn(8, 5, 4, 2))
    assert calls == [8 * 5] * 4


def test_a_belief_holds_the_last_frames_that_a_prediction_is_made_from(model):
    content = _content(frames=6)
    belief = model.encode(content.observations, content.actions)
    recent = model.encode(content.observations[:, 3:], content.actions[:, 3:])
    torch.testing.assert_close(belief.latents, recent.latents)
    torch.testing.assert_close(belief.actions, recent.actions)
    first = model.encode(content.observations[:, :1], content.actions[:, :0])
    assert first.latents.shape == (8, 1, 32)
    assert model.step(first, content.actions[:, 0]).actions.shape == (8, 1, 2)


def test_planning_with_batch_norms_in_training_is_refused(objective):
    content = _content()
    with pytest.raises(AssertionError, match=r"call eval\(\) first"):
        objective.encode(content.observations, content.actions)


def test_padding_is_refused(objective):
    content = _content()
    padded = Trajectories(
        observations=content.observations,
        actions=content.actions,
        valid=torch.ones(8, 4, dtype=torch.bool),
    )
    with pytest.raises(ValueError, match="stretches without padding"):
        objective.training_losses(padded)


def test_an_encoder_of_several_frames_is_refused():
    with pytest.raises(ValueError, match=r"encoder.tubelet=2, but there is an action"):
        Config(actions=2, encoder=EncoderConfig(size="vit_tiny"))


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({}, None),
        ({"steps": 2}, None),
        ({"steps": 5}, r"data\.steps=5 is not 2 to method\.history=3 and the next; use 4"),
        ({"steps": 1}, r"data\.steps=1 is not 2 to"),
        (
            {"observation": (30, 32, 3)},
            r"30 is not a multiple of method\.encoder\.patch=8; use 24 or",
        ),
        ({"observation": (7,)}, r"observations of shape \(7,\) and continuous actions"),
        ({"action_width": 6}, r"method\.actions=2, but an action of a window has 6 numbers"),
        ({"discrete_actions": True}, "discrete actions"),
    ],
)
def test_episodes_that_do_not_fit_are_refused_before_anything_is_built(other, message):
    shapes = {"steps": 4, "observation": (32, 32, 3), "action_width": 2,
              "discrete_actions": False, "state_width": None}  # fmt: skip
    told = DataFacts(sources=(), kind="trajectories", episodes=EpisodeFacts(**(shapes | other)))
    if message is None:
        assert TINY.build(told).history == 3
        return
    with pytest.raises(ValueError, match=message):
        TINY.build(told)


def episodes(count, *, seed=0):
    """Short random walks, as `wmt data collect` acts them out."""
    view = View(see="pixels", size=32)
    world = open_world("envs/two_rooms", view, {"goal_radius": 0.0})
    for number in range(count):
        where = EpisodeSeed(seed=seed, number=number)
        yield act_out(world, RandomPolicy(2), where, longest=4, device=torch.device("cpu"))


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Trains the shipped recipe for some steps, in a folder, on a few short walks."""
    monkeypatch.setenv("WMT_DATA", str(tmp_path))
    write_episodes(tmp_path / "two_rooms", episodes(12))
    write_episodes(tmp_path / "two_rooms" / "held_out", episodes(3, seed=1))

    def pretrained(folder, steps):
        more = (f"train.steps={steps}", f"run_dir={tmp_path / folder}")
        recipe = load_recipe("leworldmodel_two_rooms", (*SMALL, *more))
        return pretrain(pretrain_parts(recipe, "auto"))

    return pretrained


def test_a_finished_run_is_loaded_where_its_episodes_have_gone(run, tmp_path):
    checkpoint = run("run", 1).checkpoint
    shutil.move(tmp_path / "two_rooms", tmp_path / "elsewhere")
    trained = trained_objective(checkpoint)
    assert trained.state_dict().keys() == read_weights(checkpoint).keys()
    frozen = PartConfig(checkpoint=checkpoint, part="encoder")
    part = load_part(frozen, key="method.encoder")
    assert part.origin.startswith("encoder of")
    assert part.episodes is not None
    assert part.episodes.observation == (32, 32, 3)


def test_a_checkpoint_that_knows_nothing_of_its_episodes_has_them_opened(run, tmp_path):
    checkpoint = run("run", 1).checkpoint
    content = json.loads(unsealed((checkpoint / META).read_bytes()))
    assert content.pop("episodes")["observation"] == [32, 32, 3]
    (checkpoint / META).write_text(sealed(json.dumps(content, indent=2)))
    trained_objective(checkpoint)
    shutil.move(tmp_path / "two_rooms", tmp_path / "elsewhere")
    with pytest.raises(ValueError, match="shards of source 'two_rooms' are missing"):
        trained_objective(checkpoint)


def test_a_run_is_not_resumed_with_episodes_of_other_shapes(run, tmp_path):
    run("run", 1)
    shutil.rmtree(tmp_path / "two_rooms")
    without_states = (replace(episode, states=None) for episode in episodes(3))
    write_episodes(tmp_path / "two_rooms", without_states)
    with pytest.raises(CheckpointError, match=r"other episodes.*state_width=2.*now.*None"):
        run("run", 2)


def test_episodes_are_opened_once_at_the_start(run, monkeypatch):
    opened = []
    first = facts.first_shapes
    monkeypatch.setattr(facts, "first_shapes", lambda c: opened.append(c) or first(c))
    run("run", 1)
    assert len(opened) == 1


@pytest.mark.slow
def test_it_trains_from_its_recipe_is_resumed_exactly_and_measured(run, tmp_path):
    whole = run("whole", 4)
    run("resumed", 2)
    resumed = run("resumed", 4)
    assert resumed.step == 4
    one, other = (read_weights(result.checkpoint) for result in (whole, resumed))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert "monitors/target_rankme" in resumed.last_metrics.values
    recipe = load_recipe("leworldmodel_two_rooms", [*SMALL, f"run_dir={tmp_path / 'whole'}"])
    last = last_of(recipe, recipe.run_path)
    (found,) = measure_checkpoint(recipe, recipe.evaluation, last, None).measurements
    assert [number.name for number in found.result.numbers] == [
        f"{name} of jepa/leworldmodel" for name in ("loss", "prediction", "sigreg")
    ]
    assert found.result.measured_on.startswith("3 held-out samples")


def test_the_published_model_has_about_fifteen_million_parameters():
    with torch.device("meta"):
        model = Config(actions=10).build()
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(15e6, rel=0.25)


@cache
def _content(frames=4):
    """What a disc sees that wanders through the two rooms."""
    generator = np.random.default_rng(0)
    states, actions = [draw_free(generator, Layout(), 8)], []
    for _ in range(frames - 1):
        actions.append(generator.uniform(-1, 1, (8, 2)))
        states.append(move(states[-1], actions[-1], Layout()))
    pictures = draw(np.stack(states, axis=1), Layout(), 32)
    return Trajectories(
        observations=torch.from_numpy(pictures),
        actions=rearrange(torch.tensor(np.array(actions), dtype=torch.float32), "t b a -> b t a"),
    )


def _losses(objective):
    """With the same directions and dropout each time."""
    torch.manual_seed(9)
    return objective.training_losses(_content())


def _train(objective, *, steps):
    """The losses after the last step."""
    optimizer = torch.optim.AdamW(objective.parameters(), lr=3e-3)
    for _ in range(steps):
        optimizer.zero_grad()
        _losses(objective).total.backward()
        optimizer.step()
    return _losses(objective)


def _at_step(step, like):
    """A change at one time step."""
    change = torch.zeros_like(like)
    change[:, step] = torch.randn_like(change[:, step])
    return change
