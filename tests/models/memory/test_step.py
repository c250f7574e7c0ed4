"""The memory of a step is its state and what is there at the worst moment, each counted once."""

import gc
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from worldmodel_train.jepa.vjepa import Config
from worldmodel_train.models.flops import MaskTokens
from worldmodel_train.models.memory import LAYOUTS, MicroBatch, Sharding, step_memory
from worldmodel_train.models.predictor import PredictorConfig
from worldmodel_train.models.vit import EncoderConfig
from worldmodel_train.types import ClipGroup, MaskedClips, Masks

ENCODER = EncoderConfig(size="vit_large")
PREDICTOR = PredictorConfig(width=384, depth=12, heads=12, mask_tokens=2)
BATCH = MicroBatch(
    clips=24,
    tokens=2048,
    masks=(MaskTokens(496, 952), MaskTokens(144, 1352)),
    precision="bf16",
    checkpointing="none",
)


def memory(layout, *, batch=BATCH, world_size=8, **settings):
    sharding = Sharding(layout=layout, world_size=world_size, **settings)
    return step_memory(ENCODER, PREDICTOR, batch, sharding)


def test_the_total_is_the_sum_of_its_parts():
    step = memory("ddp")
    state = step.state
    parts = [state.weights, state.casts, state.teacher, state.gradients, state.optimizer, state.ema]
    activations = step.activations.forward
    assert step.worst.name == "loss"
    assert step.total == sum(parts) + step.activations.inputs + activations


def test_each_stage_takes_less_than_the_one_before():
    totals = [memory(layout, world_size=64).total for layout in LAYOUTS]
    assert totals == sorted(totals, reverse=True)


def test_offloading_saves_a_share_of_masters_moments_and_ema():
    step = memory("zero2")
    saved = step.total - memory("zero2", offload=True).total
    assert saved == 12 * -(-step.state.weights // 2 // 8) + 4 * -(-step.state.teacher // 2 // 8)


@pytest.mark.parametrize(
    ("checkpointing", "moment"), [("none", "loss"), ("selective", "loss"), ("full", "loss")]
)
def test_checkpointing_saves_memory_and_names_the_moment(checkpointing, moment):
    step = memory("ddp", batch=replace(BATCH, checkpointing=checkpointing))
    assert step.worst.name == moment
    assert (step.worst.casts == 0) == (checkpointing == "selective")


def test_a_small_batch_peaks_in_the_optimizer_step():
    small = replace(BATCH, clips=1, checkpointing="full", masks=(MaskTokens(8, 8),), tokens=64)
    step = memory("zero2", batch=small, world_size=1, bucket=1000)
    assert step.worst.name == "update"
    # the gradients in fp32, as the optimizer takes them
    assert step.worst.working == 4 * (step.state.weights // 2)


def test_a_full_bucket_is_copied_to_fp32_while_activations_wait():
    few, many = (memory("zero2", bucket=bucket).worst for bucket in (10**9, 10**8))
    assert few.communication == 2 * 2 * 10**9
    assert many.communication == (2 * 2 + 4) * 10**8


def test_zero_1_that_adds_up_in_fp32_sends_after_the_backward_pass():
    assert memory("zero1", gradients="fp32").worst == memory("ddp").worst._replace(
        casts=0, communication=0
    )
    assert memory("zero1").worst.name == "backward"


def test_stage_3_keeps_weights_gathered_up_to_a_limit():
    few, all_of_them = (memory("zero3", live=live, bucket=1000).worst for live in (10**8, 10**9))
    zero1 = memory("zero1").state
    assert few.communication == 2 * 10**8
    assert all_of_them.communication == zero1.weights + zero1.teacher


def _masks(group: MaskTokens, clips: int, tokens: int) -> Masks:
    target = torch.arange(tokens - group.target, tokens).repeat(clips, group.sets, 1)
    return Masks(
        context_index=torch.arange(group.context).repeat(clips, 1),
        target_index=target,
    )


def _steps(config: Config, batch: MicroBatch) -> None:
    """Two steps as `ddp` takes them: the second has the first one's gradients and moments."""
    model = config.build().cuda()
    model.context_encoder.blocks.set_activation_checkpointing(batch.checkpointing)
    model.predictor.blocks.set_activation_checkpointing(batch.checkpointing)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, fused=True)
    clips = torch.zeros(batch.clips, 16, 256, 256, 3, dtype=torch.uint8)
    masks = tuple(_masks(group, batch.clips, batch.tokens) for group in batch.masks)
    data = MaskedClips(groups=(ClipGroup(clips=clips, masks=masks),)).map(Tensor.cuda)
    for _ in range(2):
        with torch.autocast("cuda", torch.bfloat16, enabled=batch.precision == "bf16"):
            loss = model.training_losses(data).total
        loss.backward()
        optimizer.step()


@pytest.mark.gpu
@pytest.mark.parametrize("size", ["vit_small", "vit_large"])
@pytest.mark.parametrize("checkpointing", ["none", "selective", "full"])
@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_a_gpu_takes_what_was_predicted(size, checkpointing, precision):
    encoder = EncoderConfig(size=size)
    batch = replace(BATCH, clips=8, checkpointing=checkpointing, precision=precision)
    expected = step_memory(encoder, PREDICTOR, batch, Sharding(layout="ddp", world_size=1))
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    _steps(Config(encoder=encoder, predictor=PREDICTOR, masks=Config.tiny().masks), batch)
    taken = torch.cuda.max_memory_allocated() - before
    assert expected.total == pytest.approx(taken, rel=0.15)
