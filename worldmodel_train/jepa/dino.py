"""DINO: a student says of small views what a slow copy says of large ones (arXiv 2104.14294).

What is said is a distribution over prototypes; the copy's is centred, so that no prototype is said
of all clips, and sharpened; or balanced over a batch, as in DINOv2 (arXiv 2304.07193). No JEPA: it
is here to be compared with them.
"""

import copy
from collections.abc import Iterator, Sequence
from itertools import pairwise

import torch
from einops import rearrange
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from worldmodel_train.collectives import all_ranks_rows, mean_over_ranks, num_ranks, rank
from worldmodel_train.config import StrictConfig
from worldmodel_train.facts import DataFacts, Misfit, RecipeFacts
from worldmodel_train.jepa.joint_embedding import (
    JointEmbeddingConfig,
    SeesClips,
    mean_latent,
    tiny_encoder,
    view_misfits,
)
from worldmodel_train.jepa.view_cost import learned, seen, view_tokens
from worldmodel_train.losses.balanced import balanced
from worldmodel_train.models.blocks import init_linear
from worldmodel_train.models.cost import PlainCost
from worldmodel_train.models.flops import encoder_parameters
from worldmodel_train.models.linear import Linear
from worldmodel_train.models.parameter_groups import parameter_groups
from worldmodel_train.models.projection_head import head_forward
from worldmodel_train.models.views.geometry import Crop
from worldmodel_train.models.views.views import ViewConfig
from worldmodel_train.models.vit import VisionTransformer
from worldmodel_train.protocols import EmaPair, ParameterGroup
from worldmodel_train.types import Clips, Losses


class HeadConfig(StrictConfig):
    """From a latent to how much of each prototype there is in it; the defaults are published."""

    hidden: int = Field(default=2048, gt=0)
    """Channels of both hidden layers."""
    bottleneck: int = Field(default=256, gt=0)
    """Channels in which a direction is compared with those of the prototypes."""
    prototypes: int = Field(default=65536, gt=1)
    """Directions."""

    def widths(self, width: int) -> tuple[int, ...]:
        """Channels from a latent of `width` to the prototypes, map by map."""
        return (width, self.hidden, self.hidden, self.bottleneck, self.prototypes)


class Config(JointEmbeddingConfig):
    """The defaults are those published for ViT-S/16, but for `views` and the copy's temperature.

    The latter begins at .04 and ends at .07 where training is long; here it stays.
    """

    local_view: ViewConfig = ViewConfig(crop=Crop(area=(0.05, 0.4)), size=96)
    """A small view, of which the copy sees none."""
    num_local_views: int = Field(default=8, ge=0)
    """Small views of each clip."""
    head: HeadConfig = HeadConfig()
    """Of student and copy."""
    student_temperature: float = Field(default=0.1, gt=0)
    """By which the student's cosines are divided."""
    teacher_temperature: float = Field(default=0.04, gt=0)
    """The same of the copy's: less, so that it is surer."""
    center_momentum: float = Field(default=0.9, ge=0, lt=1)
    """How much of the centre stays in a step."""
    resting_steps: int = Field(default=0, ge=0)
    """Steps at the beginning in which the student's prototypes rest; published: an epoch. Else they
    may all turn one way before there is anything to say of clips."""
    balancing_passes: int = Field(default=0, ge=0)
    """Passes that give all prototypes the same share in a micro-batch of all ranks, in place of the
    centre; DINOv2 has 3, DINO none. Targets then depend on how many clips these are."""

    @classmethod
    def tiny(cls) -> "Config":
        """A model that trains in moments on a CPU, for tests."""
        return cls(
            encoder=tiny_encoder(),
            local_view=ViewConfig(crop=Crop(area=(0.1, 0.4)), size=8),
            num_local_views=1,
            head=HeadConfig(hidden=32, bottleneck=16, prototypes=24),
            teacher_temperature=0.08,
        )

    def misfits(self, facts: RecipeFacts) -> Iterator[Misfit]:
        """As of any two views, and small views that are no whole tokens."""
        yield from super().misfits(facts)
        yield from view_misfits(self.local_view, self.encoder, ("method", "local_view"))

    def cost(self, facts: RecipeFacts) -> PlainCost:
        """Parameters and operations of a clip, without the loss."""
        encoder, local = self.encoder, [self.local_view] * self.num_local_views
        large, small = (
            [view_tokens(view, encoder, facts) for view in views] for views in (self.views, local)
        )
        widths = self.head.widths(encoder.blocks.width)
        head = head_forward(widths)
        parameters = {
            "encoder": encoder_parameters(encoder),
            # of the directions there are no biases
            "head": sum(a * b + b for a, b in pairwise(widths)) - widths[-1],
        }
        copies = {f"slow {name}": count for name, count in parameters.items()}
        return PlainCost(
            parameters={**parameters, **copies},
            flops={
                "views, forward + backward": learned(encoder, large + small, head),
                "large views of the copy, forward": seen(encoder, large, head),
            },
        )

    def build(self, data: DataFacts | None = None) -> "Dino":
        """A freshly initialised objective, drawn from torch's global generator; any data suits."""
        del data
        return Dino(self)


class Prototypes(nn.Module):
    """Three linear maps, and the cosines of what they give with directions."""

    def __init__(self, width: int, config: HeadConfig) -> None:
        super().__init__()
        self.maps = nn.Sequential(
            *(Linear(width, config.hidden), nn.GELU()),
            *(Linear(config.hidden, config.hidden), nn.GELU()),
            Linear(config.hidden, config.bottleneck),
        )
        self.maps.apply(init_linear)
        self.directions = Directions(config.bottleneck, config.prototypes, bias=False)

    def forward(self, latents: Float[Tensor, "b d"]) -> Float[Tensor, "b p"]:
        """In fp32."""
        return self.directions(self.maps(latents))


class Directions(nn.Linear):
    """Cosines with directions; a module of its own, as sharding gathers by module."""

    rest = False
    """Whether they get gradients of zero."""

    def forward(self, input: Float[Tensor, "b c"]) -> Float[Tensor, "b p"]:
        """Of each with every direction, in fp32."""
        with torch.autocast(input.device.type, enabled=False):
            # of zero, as distributed training waits for a gradient of every weight
            weight = self.weight * 0 + self.weight.detach() if self.rest else self.weight
            places, directions = (
                functional.normalize(one.float(), dim=-1) for one in (input, weight)
            )
            return places @ directions.T


class Dino(SeesClips):
    """A student, and a slow copy of it that only sees large views."""

    center: Tensor

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.encoder = config.encoder.build()
        self.head = Prototypes(config.encoder.blocks.width, config.head)
        self.slow_encoder = copy.deepcopy(self.encoder).requires_grad_(requires_grad=False)
        self.slow_head = copy.deepcopy(self.head).requires_grad_(requires_grad=False)
        self.register_buffer("center", torch.zeros(config.head.prototypes))

    def begin_step(self, step: int) -> None:
        """Prototypes rest in the first steps."""
        self.head.directions.rest = step < self.config.resting_steps

    def training_losses(self, content: Clips) -> Losses:
        """The cross-entropy of every view by the student with every other large one by the copy.

        The centre then moves towards the mean of what the copy has said, over all ranks.
        """
        config = self.config
        drawn = (*config.views, *[config.local_view] * config.num_local_views)
        views = [view.draw(content.pixels).pixels for view in drawn]
        said = [
            self.head(mean_latent(self.encoder, view)) / config.student_temperature
            for view in views
        ]
        with torch.no_grad():
            cosines = [self.slow_head(mean_latent(self.slow_encoder, view)) for view in views[:2]]
            truth = self._truth(cosines)
        losses = [
            functional.cross_entropy(says, true)
            for j, true in enumerate(truth)
            for i, says in enumerate(said)
            if i != j
        ]
        entropy = torch.stack([torch.special.entr(true).sum(dim=1).mean() for true in truth])
        if self.training:
            mean = mean_over_ranks(torch.cat(cosines).mean(dim=0))
            self.center.lerp_(mean, 1 - config.center_momentum)
        return Losses(
            total=torch.stack(losses).mean(),
            terms={"teacher_entropy": entropy.mean()},
            latents={"target": torch.cat(cosines)},
        )

    def energy(self, context: Clips, target: Clips) -> Float[Tensor, "b"]:
        """The cross-entropy of the context's half by the student with the target's by the copy.

        The latter is centred, also where targets of training are balanced: that takes a batch.
        """
        seen = self.halves(context, target, context_encoder=self.encoder)
        said = self.head(seen.context) / self.config.student_temperature
        true = self._sharp(self.slow_head(seen.target))
        return functional.cross_entropy(said, true, reduction="none")

    def seeing(self) -> VisionTransformer:
        """The slow copy's encoder."""
        return self.slow_encoder

    def ema_pairs(self) -> Sequence[EmaPair]:
        """The copies follow."""
        return [
            EmaPair(student=self.encoder, teacher=self.slow_encoder),
            EmaPair(student=self.head, teacher=self.slow_head),
        ]

    def parameter_groups(self) -> Sequence[ParameterGroup]:
        """Encoder and head, each with and without weight decay."""
        return parameter_groups(encoder=self.encoder, head=self.head)

    def _truth(self, cosines: Sequence[Float[Tensor, "b p"]]) -> list[Float[Tensor, "b p"]]:
        """The copy's distributions of each large view, of which the student learns."""
        config = self.config
        if not config.balancing_passes:
            return [self._sharp(one) for one in cosines]
        everybody = all_ranks_rows(torch.stack(list(cosines), dim=1))
        logits = rearrange(everybody, "b views p -> (b views) p") / config.teacher_temperature
        shares = balanced(logits, passes=config.balancing_passes)
        own = rearrange(shares, "(ranks b views) p -> ranks b views p", ranks=num_ranks(), views=2)
        return list(own[rank()].unbind(dim=1))

    def _sharp(self, cosines: Float[Tensor, "b p"]) -> Float[Tensor, "b p"]:
        """The copy's distribution over prototypes."""
        return ((cosines - self.center) / self.config.teacher_temperature).softmax(dim=-1)
