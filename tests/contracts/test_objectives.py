"""What training and evaluation rely on, for every masked method under jepa/."""

import importlib
import pkgutil

import pytest
import torch
from einops import repeat

import worldmodel_train.jepa
from worldmodel_train.models.sincos import SinCos2d, SinCos3d
from worldmodel_train.protocols import LatentPredictor, Objective
from worldmodel_train.types import ClipGroup, MaskedClips, Masks

MODULES = [
    importlib.import_module(f"worldmodel_train.jepa.{info.name}")
    for info in pkgutil.iter_modules(worldmodel_train.jepa.__path__)
]
METHODS = {
    module.__name__.split(".")[-1]: module.Config.tiny()
    for module in MODULES
    if hasattr(module, "Config") and "masks" in module.Config.model_fields
}
# V-JEPA 1 lives in the file of V-JEPA 2.
V_JEPA_1 = {
    "encoder": METHODS["vjepa"].encoder.model_copy(update={"position": SinCos3d()}),
    "residual_init": "plain",
}
CONFIGS = METHODS | {"vjepa_1": METHODS["vjepa"].model_copy(update=V_JEPA_1)}
SETS = 2  # target sets of each mask group


@pytest.fixture(params=CONFIGS.values(), ids=CONFIGS.keys())
def config(request):
    return request.param


@pytest.fixture
def objective(config):
    torch.manual_seed(0)
    return config.build()


@pytest.fixture
def batch(config):
    """Two clip lengths, or two image sizes where a clip is an image."""
    return MaskedClips(groups=(_group(config, 2, 1), _group(config, 3, 2)))


def test_v_jepa_and_i_jepa_are_found():
    assert {"vjepa", "ijepa"} <= METHODS.keys()


def test_it_offers_what_training_and_evaluation_call(objective):
    assert isinstance(objective, Objective)
    assert isinstance(objective, LatentPredictor)


def test_loss_and_terms_are_finite_scalars(objective, batch):
    losses = objective.training_losses(batch)
    assert torch.isfinite(losses.total)
    assert losses.terms
    assert all(torch.isfinite(term) and not term.requires_grad for term in losses.terms.values())


def test_every_trained_parameter_gets_a_gradient_and_is_in_one_group(objective, batch):
    objective.training_losses(batch).total.backward()
    trained = {name: p for name, p in objective.named_parameters() if p.requires_grad}
    assert [name for name, p in trained.items() if p.grad is None or not p.grad.any()] == []
    grouped = [p for group in objective.parameter_groups() for p in group.parameters]
    assert sorted(map(id, grouped)) == sorted(map(id, trained.values()))


def test_targets_give_their_encoder_no_gradient(objective, batch):
    losses = objective.training_losses(batch)
    losses.total.backward()
    for pair in objective.ema_pairs():
        assert all(p.grad is None and not p.requires_grad for p in pair.teacher.parameters())
    assert not losses.latents["target"].requires_grad
    assert not losses.latents["predicted"].requires_grad


def test_teachers_start_as_their_students_and_share_no_memory(objective):
    for pair in objective.ema_pairs():
        student, teacher = pair.student.state_dict(), pair.teacher.state_dict()
        assert student.keys() == teacher.keys()
        for name, weight in student.items():
            assert torch.equal(weight, teacher[name])
            assert weight.data_ptr() != teacher[name].data_ptr()


def test_teachers_stay_put_in_an_optimizer_step(objective, batch):
    before = [p.clone() for pair in objective.ema_pairs() for p in pair.teacher.parameters()]
    _train(objective, batch, steps=1)
    after = [p for pair in objective.ema_pairs() for p in pair.teacher.parameters()]
    assert all(map(torch.equal, before, after))


def test_the_same_seed_gives_the_same_loss_and_another_does_not(config, batch):
    totals = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        totals.append(config.build().training_losses(batch).total)
    assert torch.equal(totals[0], totals[1])
    assert not torch.equal(totals[0], totals[2])


def test_state_round_trips(config, objective, batch):
    _train(objective, batch, steps=1)
    torch.manual_seed(5)
    other = config.build()
    other.load_state_dict(objective.state_dict())
    expected = objective.training_losses(batch).total
    assert torch.equal(other.training_losses(batch).total, expected)


def test_one_step_under_bf16_autocast(objective, batch):
    full = objective.training_losses(batch).total
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = objective.training_losses(batch)
    losses.total.backward()
    assert losses.total.dtype == torch.float32
    assert losses.latents["target"].dtype == torch.float32
    torch.testing.assert_close(losses.total, full, rtol=2e-2, atol=0)
    trained = [p for p in objective.parameters() if p.requires_grad]
    assert all(p.grad.dtype == torch.float32 and p.grad.isfinite().all() for p in trained)


def test_ten_steps_on_one_batch_lower_the_loss(objective, batch):
    first, last = _train(objective, batch, steps=10)
    assert last < 0.97 * first


def test_hidden_pixels_do_not_reach_the_predictions(objective, config):
    group = _group(config, 2, 1)
    masks = group.masks[0]
    noise = torch.randint_like(group.clips, 256)
    visible = _pixels_of(objective, group.clips, masks.context_index)
    changed = ClipGroup(clips=torch.where(visible, group.clips, noise), masks=(masks,))
    with torch.no_grad():
        before, after = objective.predict(group)[0], objective.predict(changed)[0]
    assert torch.equal(before.predicted, after.predicted)
    assert not torch.allclose(before.target, after.target, atol=0.1)


def test_visible_pixels_do_reach_the_predictions(objective, config):
    group = _group(config, 2, 1)
    changed = ClipGroup(clips=255 - group.clips, masks=group.masks)
    with torch.no_grad():
        before, after = objective.predict(group)[0], objective.predict(changed)[0]
    assert not torch.allclose(before.predicted, after.predicted)


def test_target_sets_do_not_see_each_other(objective, config):
    group = _group(config, 2, 1)
    masks = group.masks[0]
    alone = Masks(context_index=masks.context_index, target_index=masks.target_index[:, :1])
    with torch.no_grad():
        together = objective.predict(group)[0].predicted[:, :1]
        apart = objective.predict(ClipGroup(clips=group.clips, masks=(alone,)))[0].predicted
    torch.testing.assert_close(apart, together)


def test_two_clip_lengths_weigh_the_same(objective, batch):
    together = objective.training_losses(batch).total
    apart = [
        objective.training_losses(MaskedClips(groups=(group,))).total for group in batch.groups
    ]
    torch.testing.assert_close(together, torch.stack(apart).mean())


def test_padding_changes_nothing(objective, config):
    """Ragged masks, padded, give what the same samples give one by one without padding."""
    group = _group(config, 3, 1)
    whole = group.masks[0]
    num_context, num_targets = whole.context_index.shape[1], whole.target_index.shape[2]
    context_counts = torch.tensor([num_context, num_context - 2, 1])
    target_counts = torch.tensor([[num_targets, 1], [2, num_targets], [num_targets - 1, 3]])
    masks = Masks(
        context_index=whole.context_index,
        target_index=whole.target_index,
        context_valid=torch.arange(num_context) < context_counts[:, None],
        target_valid=torch.arange(num_targets) < target_counts[..., None],
    )
    padded_group = ClipGroup(clips=group.clips, masks=(masks,))
    padded = objective.predict(padded_group)[0]
    total, count = 0.0, 0
    for sample, target_set in [(i, j) for i in range(3) for j in range(SETS)]:
        kept = int(target_counts[sample, target_set])
        only = Masks(
            context_index=whole.context_index[[sample], : context_counts[sample]],
            target_index=whole.target_index[[sample], target_set, None, :kept],
        )
        alone = ClipGroup(clips=group.clips[[sample]], masks=(only,))
        pair = objective.predict(alone)[0]
        torch.testing.assert_close(
            padded.predicted[sample, target_set, :kept], pair.predicted[0, 0]
        )
        torch.testing.assert_close(padded.target[sample, target_set, :kept], pair.target[0, 0])
        alone_batch = MaskedClips(groups=(alone,))
        total += kept * objective.training_losses(alone_batch).total
        count += kept
    losses = objective.training_losses(MaskedClips(groups=(padded_group,)))
    torch.testing.assert_close(losses.total, total / count)


def test_encode_gives_every_token_in_the_space_of_the_targets(objective, config):
    group = _group(config, 2, 1)
    latents, pair = objective.encode(group.clips), objective.predict(group)[0]
    assert latents.shape[1] == objective.token_grid(group.clips).num_tokens
    assert not latents.requires_grad
    first = group.masks[0].target_index[:, 0]
    torch.testing.assert_close(pair.target[:, 0], latents[torch.arange(2)[:, None], first])


def _group(config, num_clips, length):
    """Random clips, `length` times as long (images: as high), with random masks."""
    generator = torch.Generator().manual_seed(10 * length)
    encoder = config.encoder
    is_image = isinstance(encoder.position, SinCos2d)
    frames, rows = (1, 4 * length) if is_image else (2 * length, 4)
    shape = (num_clips, frames * encoder.tubelet, rows * encoder.patch, 4 * encoder.patch, 3)
    clips = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    num_tokens = frames * rows * 4
    masks = tuple(
        _masks(num_clips, num_tokens, generator) for _ in range(config.predictor.mask_tokens)
    )
    return ClipGroup(clips=clips, masks=masks)


def _masks(num_clips, num_tokens, generator):
    order = torch.stack([torch.randperm(num_tokens, generator=generator) for _ in range(num_clips)])
    num_context = num_tokens // 2
    targets = order[:, num_context:].unflatten(1, (SETS, -1))
    return Masks(context_index=order[:, :num_context], target_index=targets)


def _pixels_of(objective, clips, index):
    """True at the pixels of the tubelets with these ids."""
    grid = objective.token_grid(clips)
    tokens = torch.zeros(len(clips), grid.num_tokens, dtype=torch.bool).scatter(
        1, index, value=True
    )
    _, frames, height, width, _ = clips.shape
    return repeat(
        tokens.unflatten(1, grid),
        "b t h w -> b (t x) (h y) (w z) 1",
        x=frames // grid.frames,
        y=height // grid.height,
        z=width // grid.width,
    )


def _train(objective, batch, *, steps):
    """The losses before the first and after the last step."""
    optimizer = torch.optim.AdamW([p for p in objective.parameters() if p.requires_grad], lr=3e-3)
    totals = []
    for _ in range(steps):
        totals.append(objective.training_losses(batch).total)
        optimizer.zero_grad()
        totals[-1].backward()
        optimizer.step()
    totals.append(objective.training_losses(batch).total)
    return totals[0].item(), totals[-1].item()
