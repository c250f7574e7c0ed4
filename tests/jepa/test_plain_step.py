import pytest
import torch

from tests.jepa.plain_step import PlainStep
from worldmodel_train.jepa.vjepa import Config
from worldmodel_train.masks.multiblock3d import Multiblock3D
from worldmodel_train.training.ema import Ema
from worldmodel_train.training.optim import OptimConfig, build_optimizer, set_schedules
from worldmodel_train.types import ClipGroup, MaskedClips, TokenGrid

GRID = TokenGrid(frames=2, height=4, width=4)
STEPS = 50
LR, DECAY, MOMENTUM = 1e-4, 0.04, 0.99
OPTIM = OptimConfig.model_validate(
    {
        "name": "adamw",
        "lr": {"name": "constant", "value": LR},
        "weight_decay": {"name": "constant", "value": DECAY},
        "ema": {"name": "constant", "value": MOMENTUM},
    }
)


def group(step):
    """Random clips under two mask groups, whose sizes change from step to step."""
    samples = range(4 * step, 4 * step + 4)
    masks = tuple(
        Multiblock3D(
            num_blocks=2, spatial_scale=(scale, scale), temporal_scale=(1.0, 1.0),
            aspect_ratio=(0.75, 1.5),
        ).sample(GRID, seed=i, step=step, samples=samples)
        for i, scale in enumerate((0.3, 0.5))
    )  # fmt: skip
    generator = torch.Generator().manual_seed(step)
    clips = torch.randint(0, 256, (4, 4, 32, 32, 3), dtype=torch.uint8, generator=generator)
    return ClipGroup(clips=clips, masks=masks)


@pytest.fixture
def objective():
    torch.manual_seed(0)
    return Config.tiny().build()


@pytest.mark.slow
def test_fifty_steps_give_the_losses_of_the_plain_step(objective):
    plain = PlainStep(objective, place=GRID.width, lr=LR, weight_decay=DECAY, momentum=MOMENTUM)
    optimizer = build_optimizer(objective.parameter_groups(), OPTIM)
    (pair,) = objective.ema_pairs()
    ema = Ema(list(pair.student.parameters()), list(pair.teacher.parameters()))
    losses, expected, sizes = [], [], set()
    for step in range(STEPS):
        data = group(step)
        sizes |= {masks.context_index.shape[1] for masks in data.masks}
        loss = objective.training_losses(MaskedClips(groups=(data,))).total
        optimizer.zero_grad()
        loss.backward()
        set_schedules(optimizer, OPTIM, step, STEPS)
        optimizer.step()
        ema.update(MOMENTUM)
        losses.append(loss.item())
        expected.append(plain(data))
    assert len(sizes) > 3
    assert expected[-1] < expected[0]
    # fp32 sums in another order, carried through fifty steps; 1.5e-7 were found
    torch.testing.assert_close(torch.tensor(losses), torch.tensor(expected), rtol=2e-6, atol=0)
