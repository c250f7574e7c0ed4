import pytest

from tests.contracts.methods import METHODS
from worldmodel_train import jepa
from worldmodel_train.config.components import component_configs
from worldmodel_train.models.frozen import PartConfig
from worldmodel_train.models.memory import state_bytes
from worldmodel_train.training.config import DdpStrategy, DeepSpeedConfig
from worldmodel_train.training.strategies.auto import (
    STATE_SHARE,
    AutoChoice,
    ModelSize,
    auto_strategy,
    model_size,
)


def of_others(name):
    """Whether the method has a part of another run, which it is not built without."""
    return any(isinstance(value, PartConfig) for _, value in METHODS[name])


GIANT = ModelSize(trained=1_034_000_000, teacher=1_012_000_000)


@pytest.mark.parametrize("name", [name for name in component_configs(jepa) if not of_others(name)])
def test_the_size_is_counted_without_drawing_weights(name):
    config = METHODS[name]
    built = config.build()
    sizes = [(p.requires_grad, p.numel()) for p in built.parameters()]
    expected = ModelSize(
        trained=sum(n for trained, n in sizes if trained),
        teacher=sum(n for trained, n in sizes if not trained),
    )
    assert model_size(config.build) == expected


def choose(size: ModelSize, gigabytes: int, world_size: int = 64):
    return choice(size, gigabytes, world_size).strategy


def choice(size: ModelSize, gigabytes: int, world_size: int = 64) -> AutoChoice:
    return auto_strategy(
        size, world_size=world_size, precision="bf16", accumulation=1, gpu_bytes=gigabytes * 10**9
    )


def test_a_model_that_leaves_room_is_not_sharded_and_the_choice_says_why():
    assert choose(GIANT, 141) == DdpStrategy()
    assert "train.strategy=auto takes ddp" in choice(GIANT, 141).why
    assert "22.7 GB under ddp" in choice(GIANT, 141).why


def test_a_fuller_gpu_gets_the_lowest_stage_that_leaves_room():
    assert choose(GIANT, 40) == DeepSpeedConfig(zero_stage=1)
    ten = ModelSize(*(10 * n for n in GIANT))
    assert choose(ten, 141) == DeepSpeedConfig(zero_stage=2)
    assert choose(ten, 80) == DeepSpeedConfig(zero_stage=3)


@pytest.mark.parametrize("gigabytes", [24, 40, 80, 141])
def test_what_is_chosen_keeps_the_promised_room(gigabytes):
    chosen = choose(GIANT, gigabytes)
    layout = f"zero{chosen.zero_stage}" if isinstance(chosen, DeepSpeedConfig) else "ddp"
    state = state_bytes(*GIANT, layout=layout, world_size=64, precision="bf16", gradients="bf16")
    assert state.total <= STATE_SHARE * gigabytes * 10**9
