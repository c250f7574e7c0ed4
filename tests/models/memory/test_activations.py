"""Predicted activations are those that a real step keeps and reaches, storage by storage."""

import copy
import itertools

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from benchmarks.live_bytes import LiveBytes
from worldmodel_kernels.rope import rope_groups
from worldmodel_train.jepa.vjepa import Config
from worldmodel_train.models import attention, layer_norm
from worldmodel_train.models.blocks import BlocksConfig
from worldmodel_train.models.checkpointing import MixedCheckpointing
from worldmodel_train.models.flops import MaskTokens
from worldmodel_train.models.memory import MicroBatch, activation_bytes
from worldmodel_train.models.predictor import PredictorConfig
from worldmodel_train.models.sincos import SinCos3d
from worldmodel_train.models.vit import EncoderConfig
from worldmodel_train.types import ClipGroup, MaskedClips, Masks

CLIPS = 4
GRID = (4, 8, 8)
GROUPS = (MaskTokens(70, 120), MaskTokens(30, 90, 2))
POLICIES = ["none", "selective", "full"]
MIXED = [
    MixedCheckpointing(lighter=lighter, heavier=heavier, percent=50)
    for lighter, heavier in (("none", "selective"), ("selective", "full"))
]
TINY = {
    "encoder": EncoderConfig(size=BlocksConfig(width=96, depth=3, heads=3), patch=8),
    "predictor": PredictorConfig(width=48, depth=2, heads=2, mask_tokens=2),
}
SWIGLU = {
    "encoder": EncoderConfig(size=BlocksConfig(width=96, depth=3, heads=3, mlp="swiglu"), patch=8),
    "predictor": TINY["predictor"].model_copy(update={"mlp": "swiglu"}),
}
VIT_LARGE = {
    "encoder": EncoderConfig(size="vit_large"),
    "predictor": PredictorConfig(width=384, depth=12, heads=12, mask_tokens=2),
}
VJEPA2_GROUPS = (MaskTokens(496, 952), MaskTokens(144, 1352))


def masks(group: MaskTokens, clips: int, tokens: int) -> Masks:
    context = torch.arange(group.context).repeat(clips, 1)
    target = torch.arange(group.target) + tokens - group.target
    return Masks(context_index=context, target_index=target.repeat(clips, group.sets, 1))


MASKS = Config.tiny().masks


def batch(size: int, grid: tuple[int, int, int], patch: int, groups) -> MaskedClips:
    frames, height, width = 2 * grid[0], patch * grid[1], patch * grid[2]
    tokens = grid[0] * grid[1] * grid[2]
    clips = torch.zeros(size, frames, height, width, 3, dtype=torch.uint8)
    drawn = tuple(masks(group, size, tokens) for group in groups)
    return MaskedClips(groups=(ClipGroup(clips=clips, masks=drawn),))


def objective(config: Config, policy: str):
    model = config.build()
    model.context_encoder.blocks.set_activation_checkpointing(policy)
    model.predictor.blocks.set_activation_checkpointing(policy)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.grad = torch.zeros_like(parameter)
    return model


def held(model, data: MaskedClips):
    yield from model.buffers()
    for network in model.children():
        for table in network.places._tables.values():
            yield from table or ()
    for parameter in model.parameters():
        yield parameter
        if parameter.grad is not None:
            yield parameter.grad
    for group in data.groups:
        yield group.clips
        for mask in group.masks:
            yield mask.context_index
            yield mask.target_index


def casts(model) -> int:
    """Bytes of the bf16 copies that autocast shares between passes."""
    linear = [m for part in (model.context_encoder, model.predictor) for m in part.modules()]
    return sum(
        2 * p.numel() for m in linear if isinstance(m, torch.nn.Linear) for p in m.parameters()
    )


def monitored(losses) -> int:
    return 2 * losses.latents["predicted"].numel() * 4


def as_on_cuda(monkeypatch):
    """Norms that take bf16 tokens as they are; rope as Triton's, all anew."""

    def all_anew(qkv, shapes, tables):
        groups = rope_groups(qkv, shapes, tables)
        if tables is None:
            return groups
        return [(queries, keys, values.clone()) for queries, keys, values in groups]

    monkeypatch.setattr(layer_norm, "kernel_precision", lambda tokens: tokens.dtype)
    monkeypatch.setattr(attention, "rope_groups", all_anew)


def predicted(config: Config, size: int, tokens: int, groups, **how):
    micro = MicroBatch(clips=size, tokens=tokens, masks=groups, **how)
    return activation_bytes(config.encoder, config.predictor, micro)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize(
    "precision", ["fp32", "bf16", "bf16 on cuda", "bf16, fp32 stream", "bf16 on cuda, fp32 stream"]
)
@pytest.mark.parametrize("position", ["rope3d", "sincos3d"])
def test_kept_bytes_are_those_of_a_real_step(live_bytes, monkeypatch, policy, precision, position):
    on_cuda = "cuda" in precision
    if on_cuda:
        as_on_cuda(monkeypatch)
    encoder = TINY["encoder"]
    if position == "sincos3d":
        encoder = encoder.model_copy(update={"position": SinCos3d()})
    parts = {"encoder": encoder, "predictor": TINY["predictor"]}
    config = Config(**with_stream(parts, "fp32" if "stream" in precision else "train"), masks=MASKS)
    model, data = objective(config, policy), batch(CLIPS, GRID, 8, GROUPS)
    model.predict(data.groups[0])  # makes the tables of positions, which stay
    live_bytes.ignore(held(model, data))
    bf16 = precision != "fp32"
    with live_bytes:
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            losses = model.training_losses(data)
        kept = live_bytes.now - monitored(losses)
    if bf16 and policy == "none":
        kept -= casts(model)
    how = {"precision": precision[:4], "checkpointing": policy, "on_cuda": on_cuda}
    expected = predicted(config, CLIPS, 256, GROUPS, **how).kept
    assert expected == pytest.approx(kept, rel=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("plan", MIXED, ids=str)
def test_a_mixed_plan_keeps_bytes_in_proportion_to_its_shares(plan):
    sizes = {"encoder": BlocksConfig(width=96, depth=8, heads=3), "predictor": 4}
    config = Config(
        encoder=EncoderConfig(size=sizes["encoder"], patch=8),
        predictor=TINY["predictor"].model_copy(update={"depth": sizes["predictor"]}),
        masks=MASKS,
    )
    kept = {}
    for policy in (plan.lighter, plan, plan.heavier):
        model, data = objective(config, policy), batch(CLIPS, GRID, 8, GROUPS)
        model.predict(data.groups[0])
        live = LiveBytes()
        live.ignore(held(model, data))
        with live:
            losses = model.training_losses(data)
            kept[policy] = live.now - monitored(losses)
    middle = (kept[plan.lighter] + kept[plan.heavier]) / 2
    assert kept[plan] == pytest.approx(middle, rel=1e-3)
    how = {"precision": "fp32", "checkpointing": plan, "on_cuda": False}
    expected = predicted(config, CLIPS, 256, GROUPS, **how).kept
    assert expected == pytest.approx(kept[plan], rel=0.05)


def test_kept_bytes_are_the_tensors_that_autograd_saves():
    config = Config(**TINY, masks=MASKS)
    model, data = objective(config, "none"), batch(CLIPS, GRID, 8, GROUPS)
    known = {tensor.untyped_storage()._cdata for tensor in held(model, data)}
    saved = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage._cdata not in known:
            saved[storage._cdata] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        losses = model.training_losses(data)
    losses.total.backward()
    how = {"precision": "fp32", "checkpointing": "none", "on_cuda": False}
    expected = predicted(config, CLIPS, 256, GROUPS, **how).kept
    assert expected == pytest.approx(sum(s.nbytes() for s in saved.values()), rel=0.05)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("parts", [TINY, SWIGLU], ids=["gelu", "swiglu"])
def test_the_peak_is_that_of_a_real_step_whatever_the_mlp(live_bytes, monkeypatch, parts, policy):
    as_on_cuda(monkeypatch)
    config = Config(**parts, masks=MASKS)
    model, data = objective(config, policy), batch(CLIPS, GRID, 8, GROUPS)
    model.predict(data.groups[0])
    live_bytes.ignore(held(model, data))
    with live_bytes:
        losses = model.training_losses(data)
        kept, forward, live_bytes.peak = live_bytes.now - monitored(losses), live_bytes.peak, 0
        losses.total.backward()
    how = {"precision": "fp32", "checkpointing": policy}
    expected = predicted(config, CLIPS, 256, GROUPS, **how)
    assert expected.kept == pytest.approx(kept, rel=0.05)
    assert expected.forward == pytest.approx(forward, rel=0.1)
    assert expected.backward == pytest.approx(live_bytes.peak, rel=0.1)


def with_stream(parts, stream):
    return {name: part.model_copy(update={"stream": stream}) for name, part in parts.items()}


def vitl_peaks(live_bytes, monkeypatch, parts, policy, precision) -> tuple[int, int, int]:
    """The most of the forward and of the backward pass, and bytes of autocast's copies."""
    # tensors without data: the real step of the real size, in seconds
    monkeypatch.setattr(torch.nn.init, "trunc_normal_", lambda weight, **_: weight)
    monkeypatch.setattr(copy, "deepcopy", lambda encoder: type(encoder)(parts["encoder"]))
    as_on_cuda(monkeypatch)
    config = Config(**parts, masks=MASKS)
    with FakeTensorMode():
        model, data = objective(config, policy), batch(24, (8, 16, 16), 16, VJEPA2_GROUPS)
        live_bytes.ignore(held(model, data))
        with live_bytes:
            with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
                losses = model.training_losses(data)
            forward, live_bytes.peak = live_bytes.peak, 0
            losses.total.backward()
    return forward, live_bytes.peak, casts(model) if precision == "bf16" else 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("policy", "precision", "stream"),
    [
        *itertools.product(POLICIES, ["fp32", "bf16"], ["train"]),
        ("selective", "bf16", "fp32"),
    ],
)
def test_the_peak_is_that_of_a_whole_vitl_step(live_bytes, monkeypatch, policy, precision, stream):
    parts = with_stream(VIT_LARGE, stream)
    forward, backward, copies = vitl_peaks(live_bytes, monkeypatch, parts, policy, precision)
    how = {"precision": precision, "checkpointing": policy}
    expected = predicted(Config(**parts, masks=MASKS), 24, 2048, VJEPA2_GROUPS, **how)
    forward_copies = 0 if policy == "selective" else copies
    assert expected.forward + forward_copies == pytest.approx(forward, rel=0.03)
    backward_copies = copies if policy == "none" else 0
    assert expected.backward + backward_copies == pytest.approx(backward, rel=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("plan", MIXED, ids=str)
def test_the_peak_of_a_mixed_plan_is_predicted_on_the_safe_side(live_bytes, monkeypatch, plan):
    *peaks, copies = vitl_peaks(live_bytes, monkeypatch, VIT_LARGE, plan, "bf16")
    how = {"precision": "bf16", "checkpointing": plan}
    expected = predicted(Config(**VIT_LARGE, masks=MASKS), 24, 2048, VJEPA2_GROUPS, **how)
    backward_copies = copies if plan.lighter == "none" else 0
    most = max(expected.forward + copies, expected.backward + backward_copies)
    assert max(peaks) <= most <= 1.05 * max(peaks)


def test_the_target_encoder_is_the_peak_where_contexts_are_small():
    few = MicroBatch(
        clips=2, tokens=2048, masks=[MaskTokens(8, 8)], precision="bf16", checkpointing="full"
    )
    activations = activation_bytes(VIT_LARGE["encoder"], VIT_LARGE["predictor"], few)
    assert activations.target > max(activations.forward, activations.backward)


def test_activations_grow_with_the_clips():
    config = Config(**TINY, masks=MASKS)
    one, eight = (
        predicted(config, n, 256, GROUPS, precision="bf16", checkpointing="none") for n in (1, 8)
    )
    assert eight.kept == 8 * one.kept
    assert eight.forward == 8 * one.forward
