"""H-JEPA: two levels at two time scales, the upper one looks further ahead.

After LeCun, 2022 (A Path Towards Autonomous Machine Intelligence, section 4.6), who gives no more
than the idea; what is built here is our own. Both levels are the same: an encoder of what was,
its slow copy that sees what comes too, and a predictor of what the copy sees then. The lower
level's tokens are tubelets, and it predicts the next few. The upper level's are steps of several
tubelets each, which it takes from the lower one's latents, and it predicts to the clip's end.

A slow copy alone does not keep the upper level from collapse: means over all places differ little
from clip to clip. As the paper proposes, variance and covariance (VICReg) keep latents apart.
"""

import copy
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple, TypeVar

import torch
from einops import rearrange, reduce
from jaxtyping import Float, UInt8
from pydantic import Field
from torch import Tensor, nn

from worldmodel_train.config import StrictConfig
from worldmodel_train.facts import DataFacts, Misfit, RecipeFacts
from worldmodel_train.jepa.half_seen import loss_of_each
from worldmodel_train.jepa.joint_embedding import batch_norm_misfits, tiny_encoder
from worldmodel_train.jepa.monitored_tokens import monitored_tokens
from worldmodel_train.losses import LossConfig, Lp
from worldmodel_train.losses.vicreg import covariance_loss, variance_loss
from worldmodel_train.models.blocks import BlocksConfig
from worldmodel_train.models.cost import PlainCost, built_parameters
from worldmodel_train.models.flops import embed_forward
from worldmodel_train.models.level import Level, level_flops, normalised
from worldmodel_train.models.parameter_groups import parameter_groups
from worldmodel_train.models.predictor import PredictorConfig
from worldmodel_train.models.projection_head import head_forward
from worldmodel_train.models.step_embed import StepEmbed
from worldmodel_train.models.token_fit import encoder_misfits, grid_of, one_length
from worldmodel_train.models.vit import EncoderConfig, TokenTransformer
from worldmodel_train.protocols import EmaPair, ParameterGroup
from worldmodel_train.types import Clips, LatentPair, LevelAhead, Losses, TokenGrid

ModuleT = TypeVar("ModuleT", bound=nn.Module)


class UpperConfig(StrictConfig):
    """The level above."""

    tubelets: int = Field(gt=0)
    """Tubelets of a step: it is the mean of the lower level's latents over them and all places."""
    encoder: BlocksConfig
    """Of steps, which know when they are by rotary positions."""
    predictor: PredictorConfig
    """Of later steps."""

    @property
    def transformer(self) -> EncoderConfig:
        """The encoder as the parts of the lower one are configured; a token is a step."""
        return EncoderConfig(size=self.encoder, patch=1, tubelet=1)

    def build_encoder(self, latent: int) -> TokenTransformer[StepEmbed]:
        """Freshly initialised, above latents so wide."""
        return TokenTransformer(self.transformer, StepEmbed(latent, self.encoder.width))


class Config(StrictConfig):
    """Two levels; the first half of a clip's tubelets is seen."""

    encoder: EncoderConfig
    """Of the lower level."""
    predictor: PredictorConfig
    """Of the lower level."""
    near: int = Field(ge=1)
    """Tubelets after the seen ones that the lower level predicts; the upper one predicts all."""
    upper: UpperConfig
    loss: LossConfig = Lp()
    """Of either level."""
    upper_weight: float = Field(default=1.0, gt=0)
    """How much the upper level's loss weighs beside the lower one's."""
    variance: float = Field(default=1.0, ge=0)
    """Weight of what a channel's standard deviation over clips lacks to 1, at each place, in the
    space of the targets; of either level. Needs micro-batches of two clips or more."""
    covariance: float = Field(default=0.04, ge=0)
    """Weight of a channel's squared covariances with all others; as much less as in VICReg. With
    a hundredth of it variance is kept, and one number tells all of the upper level's channels."""
    gradient: Literal["joint", "stopped"] = "joint"
    """`joint`: the lower encoder learns what the upper level needs too. `stopped`: each level
    learns from its own loss alone."""

    @classmethod
    def tiny(cls) -> "Config":
        """A model that trains in moments on a CPU, for tests."""
        predictor = PredictorConfig(width=32, depth=2, heads=2, mask_token_std=0.02)
        return cls(
            encoder=tiny_encoder(),
            predictor=predictor,
            near=1,
            upper=UpperConfig(
                tubelets=1, encoder=BlocksConfig(width=48, depth=2, heads=3), predictor=predictor
            ),
        )

    def misfits(self, facts: RecipeFacts) -> Iterator[Misfit]:
        """Clips that are no whole tokens or steps, of several lengths, or too short to look so far.

        Each half must be whole steps.
        """
        yield from batch_norm_misfits(facts)
        not_tokens = [*encoder_misfits(self.encoder, facts.data), *one_length(facts.data)]
        yield from not_tokens
        if not_tokens:
            return
        first, steps = facts.data.sources[0], 2 * self.upper.tubelets
        tubelets = first.clip.frames // self.encoder.tubelet
        if tubelets % steps:
            message = f"the {tubelets} tubelets of a clip are no two halves of whole steps of "
            message += f"method.upper.tubelets={self.upper.tubelets}; "
            message += f"use a multiple of {steps * self.encoder.tubelet} frames"
            yield (*first.key, "clip", "frames"), message
        elif self.near > tubelets // 2:
            message = f"only {tubelets // 2} tubelets come after the seen half; use at most so many"
            yield ("method", "near"), message

    def preparation(self) -> None:
        """Clips are taken as they are read."""

    def cost(self, facts: RecipeFacts) -> PlainCost:
        """Parameters and operations of a clip."""
        grid, upper = grid_of(self.encoder, facts.data.sources[0].clip), self.upper
        steps = grid.frames // upper.tubelets
        lower = level_flops(
            self.encoder,
            self.predictor,
            embed=embed_forward(self.encoder, 1),
            tokens=grid.num_tokens,
            later=self.near * grid.height * grid.width,
        )
        above = level_flops(
            upper.transformer,
            upper.predictor,
            embed=head_forward((self.encoder.blocks.width, upper.encoder.width)),
            tokens=steps,
            later=steps // 2,
            gradient=self.gradient == "joint",
        )
        flops = lower | {f"upper {part}": flops for part, flops in above.items()}
        return PlainCost(parameters=built_parameters(self.build), flops=flops)

    def build(self, data: DataFacts | None = None) -> "HierarchicalJepa":
        """A freshly initialised objective, drawn from torch's global generator; any data suits."""
        del data
        return HierarchicalJepa(self)


class _Seen(NamedTuple):
    """What a level's encoder sees of the past, and what comes of it."""

    seen: Float[Tensor, "b k d"]
    pair: LatentPair


class HierarchicalJepa(nn.Module):
    """Two levels; probes and others are shown the lower one's latents."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.encoder = config.encoder.build()
        self.teacher = _slow_copy(self.encoder)
        self.predictor = config.predictor.build(config.encoder)
        self.upper_encoder = config.upper.build_encoder(config.encoder.blocks.width)
        self.upper_teacher = _slow_copy(self.upper_encoder)
        self.upper_predictor = config.upper.predictor.build(config.upper.transformer)

    @property
    def lower(self) -> Level:
        """The level of tubelets."""
        return Level(self.encoder, self.teacher, self.predictor)

    @property
    def upper(self) -> Level:
        """The level of steps."""
        return Level(self.upper_encoder, self.upper_teacher, self.upper_predictor)

    def training_losses(self, content: Clips) -> Losses:
        """The loss of the lower level and, as its weight says, of the upper one.

        Variances and covariances are those of the clips of all ranks.
        """
        levels = self._ahead(content.pixels, content.pixels)
        pairs = [level.pair for level in levels]
        lower, upper = (self.config.loss.loss(pair.predicted, pair.target) for pair in pairs)
        spread = [self._spread(level.seen) for level in levels]
        watched, above = (monitored_tokens([[pair]]) for pair in pairs)
        # Steps are fewer than tokens: each comes as often, beside the tokens of its sample.
        rows = torch.arange(len(watched.target), device=content.pixels.device)
        rows = rows * len(above.target) // len(rows)
        return Losses(
            total=lower + spread[0] + self.config.upper_weight * (upper + spread[1]),
            terms={
                "lower": lower.detach(),
                "lower_spread": spread[0].detach(),
                "upper": upper.detach(),
                "upper_spread": spread[1].detach(),
            },
            latents={
                "predicted": watched.predicted,
                "target": watched.target,
                "upper_predicted": above.predicted[rows],
                "upper_target": above.target[rows],
            },
            samples=watched.samples,
        )

    def predict_levels(self, clips: UInt8[Tensor, "b t h w c"]) -> Sequence[LevelAhead]:
        """What each level says of what comes, as far ahead as it is trained to look."""
        lower, upper = (level.pair for level in self._ahead(clips, clips))
        grid, past = self.token_grid(clips), self.lower.teach(_past(clips))
        places = grid.height * grid.width
        last_step = normalised(self.upper.teach(self._pool(past, places)))[:, -1:]
        tubelet = self.config.encoder.tubelet
        return (
            _level_ahead(lower, normalised(past)[:, -places:], frames=tubelet),
            _level_ahead(upper, last_step, frames=tubelet * self.config.upper.tubelets),
        )

    def energy(self, context: Clips, target: Clips) -> Float[Tensor, "b"]:
        """The loss of each target as both levels predict it from the context's first half."""
        lower, upper = (
            loss_of_each(self.config.loss, level.pair.predicted, level.pair.target)
            for level in self._ahead(context.pixels, target.pixels)
        )
        return lower + self.config.upper_weight * upper

    @torch.no_grad()
    def encode(self, clips: UInt8[Tensor, "b t h w c"]) -> Float[Tensor, "b n d"]:
        """What the lower level's slow copy sees, each token normalised to mean 0, std 1."""
        return normalised(self.lower.teach(clips))

    def token_grid(self, clips: UInt8[Tensor, "b t h w c"]) -> TokenGrid:
        """The grid of the lower level's tokens that clips of this size become."""
        return self.encoder.token_grid(clips)

    def ema_pairs(self) -> Sequence[EmaPair]:
        """Either level's copy follows its encoder."""
        levels = (self.lower, self.upper)
        return [EmaPair(student=level.encoder, teacher=level.teacher) for level in levels]

    def parameter_groups(self) -> Sequence[ParameterGroup]:
        """Encoders and predictors, each with and without weight decay."""
        return parameter_groups(
            encoder=self.encoder,
            predictor=self.predictor,
            upper_encoder=self.upper_encoder,
            upper_predictor=self.upper_predictor,
        )

    def _ahead(
        self, context: UInt8[Tensor, "b t h w c"], target: UInt8[Tensor, "b t h w c"]
    ) -> tuple["_Seen", "_Seen"]:
        """What either level says of the target from the context's first half, and what it is."""
        grid = self.token_grid(target)
        places, horizon = grid.height * grid.width, grid.frames // self.config.upper.tubelets // 2
        seen, whole = self.lower.see(_past(context)), self.lower.teach(target)
        lower = self.lower.ahead(seen, whole, grid, self.config.near)
        steps, all_steps = self._pool(seen, places), self._pool(whole, places)
        if self.config.gradient == "stopped":
            steps = steps.detach()
        above, above_whole = self.upper.see(steps), self.upper.teach(all_steps)
        upper = self.upper.ahead(above, above_whole, TokenGrid(2 * horizon, 1, 1), horizon)
        return _Seen(seen, lower), _Seen(above, upper)

    def _spread(self, seen: Float[Tensor, "b k d"]) -> Float[Tensor, ""]:
        """What a level's latents lack of being apart from clip to clip, place by place."""
        config, latents = self.config, rearrange(normalised(seen.float()), "b k d -> k b d")
        others = latents.shape[-1] - 1  # VICReg sums over them
        return config.variance * variance_loss(
            latents
        ) + config.covariance * others * covariance_loss(latents)

    def _pool(self, latents: Float[Tensor, "b n d"], places: int) -> Float[Tensor, "b s d"]:
        """The steps that tokens of so many places become."""
        tokens = places * self.config.upper.tubelets
        return reduce(latents.float(), "b (s p) d -> b s d", "mean", p=tokens)


def _slow_copy(encoder: ModuleT) -> ModuleT:
    return copy.deepcopy(encoder).requires_grad_(requires_grad=False)


def _past(clips: UInt8[Tensor, "b t h w c"]) -> UInt8[Tensor, "b _ h w c"]:
    return clips[:, : clips.shape[1] // 2]


def _level_ahead(pair: LatentPair, last: Float[Tensor, "b p d"], frames: int) -> LevelAhead:
    predicted, target = (
        rearrange(latents, "b 1 (s p) d -> b s p d", p=last.shape[1])
        for latents in (pair.predicted, pair.target)
    )
    return LevelAhead(predicted=predicted, target=target, last=last, frames=frames)
