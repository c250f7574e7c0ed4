"""MC-JEPA: motion and content in one encoder (arXiv 2307.12698).

Two branches share a pyramid of features. Content: two views of a frame agree, as in VICReg. Motion:
a flow between two frames is found from coarse to fine; moved by it, the features of one frame
predict the other's, and its pixels the other's pixels. The flow is what a JEPA calls a latent
variable: nobody gives it, it is found to make the prediction fit.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from einops import rearrange
from jaxtyping import Float, UInt8
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from worldmodel_train.config import StrictConfig
from worldmodel_train.facts import DataFacts, Misfit, RecipeFacts
from worldmodel_train.jepa.joint_embedding import batch_norm_misfits
from worldmodel_train.jepa.motion_terms import MotionWeights, motion_terms
from worldmodel_train.losses.vicreg import covariance_loss, variance_loss
from worldmodel_train.models.convnext import PyramidConfig, pyramid_step
from worldmodel_train.models.cost import PlainCost, built_parameters
from worldmodel_train.models.flops import once_each, total
from worldmodel_train.models.flow.estimator import FlowConfig, flow_step
from worldmodel_train.models.flow.warp import warp
from worldmodel_train.models.parameter_groups import parameter_groups
from worldmodel_train.models.projection_head import head_forward, projection_head
from worldmodel_train.models.token_fit import not_a_multiple, one_length
from worldmodel_train.models.views.views import ViewConfig
from worldmodel_train.protocols import EmaPair, ParameterGroup
from worldmodel_train.types import Clips, Losses, TokenGrid


class Config(StrictConfig):
    """The encoder, what finds flow, and what counts how much."""

    encoder: PyramidConfig
    """Sees frames one by one; probes are given its coarsest level."""
    estimator: FlowConfig = FlowConfig()
    """What finds the flow."""
    estimator_rate: float = Field(default=1.0, gt=0)
    """Learning rate of the estimator as a multiple of `optim.lr`; published: a third."""
    motion: MotionWeights = MotionWeights()
    """Weights of the losses of motion."""
    views: tuple[ViewConfig, ViewConfig] = (ViewConfig(), ViewConfig())
    """How either view of a frame is drawn."""
    expander_widths: tuple[int, ...] = Field(default=(8192, 8192, 8192), min_length=1)
    """Channels of the head, layer by layer; the last is what views are compared by."""
    invariance: float = Field(default=25.0, ge=0)
    """Weight of the squared distance of views."""
    variance: float = Field(default=25.0, ge=0)
    """Weight of what the spread of a channel lacks to 1."""
    covariance: float = Field(default=1.0, ge=0)
    """Weight of the sum of squared covariances over the number of channels, of both views."""

    @classmethod
    def tiny(cls) -> "Config":
        """A model that trains in moments on a CPU, for tests."""
        return cls(
            encoder=PyramidConfig(widths=(8, 16, 24), depths=(1, 1, 1), kernel=3),
            estimator=FlowConfig(width=16, depth=1, reach=1),
            expander_widths=(64, 16),
        )

    def misfits(self, facts: RecipeFacts) -> Iterator[Misfit]:
        """Frames without a next one, uneven sides, micro-batches of one clip, flow of no level."""
        yield from one_length(facts.data)
        yield from batch_norm_misfits(facts)
        yield from self._no_level()
        for source in facts.data:
            if source.clip.frames < 2:
                yield (*source.key, "clip", "frames"), "flow needs two frames; use 2 or more"
                return
        clip = facts.data.sources[0].clip
        for side in {clip.height, clip.width}:
            yield from self._uneven(side, facts.data.size_key)
        for number, view in enumerate(self.views):
            if view.size is not None:
                yield from self._uneven(view.size, ("method", "views", number, "size"))

    def _no_level(self) -> Iterator[Misfit]:
        finest, levels = self.estimator.finest, len(self.encoder.widths)
        if finest >= levels:
            message = f"{finest} leaves none of {levels} levels that mends the flow"
            yield ("method", "estimator", "finest"), f"{message}; use {levels - 1} or less"

    def _uneven(self, side: int, key: tuple[str | int, ...]) -> Iterator[Misfit]:
        if side % self.encoder.stride:
            levels = len(self.encoder.widths)
            yield key, not_a_multiple(side, self.encoder.stride, f"the stride of {levels} levels")

    def preparation(self) -> None:
        """Clips are taken as they are read; frames and views are drawn with the loss."""

    def cost(self, facts: RecipeFacts) -> PlainCost:
        """Parameters and operations of a clip, of which two frames are looked at."""
        clip, pyramid = facts.data.sources[0].clip, self.encoder
        size = clip.height, clip.width
        views = [(view.size, view.size) if view.size is not None else size for view in self.views]
        head = once_each(head_forward((pyramid.width, *self.expander_widths)))
        return PlainCost(
            parameters=built_parameters(self.build),
            flops={
                "views, forward + backward": total(
                    pyramid_step(pyramid, *view).plus(head) for view in views
                ),
                "two frames, forward + backward": pyramid_step(pyramid, *size).times(2),
                "flow both ways, forward + backward": flow_step(
                    self.estimator, pyramid.widths, *size
                ).times(2),
            },
        )

    def build(self, data: DataFacts | None = None) -> "McJepa":
        """A freshly initialised objective, drawn from torch's global generator; any data suits."""
        del data
        return McJepa(self)


class McJepa(nn.Module):
    """A pyramid, an estimator of flow, and a head for views of a frame."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.encoder = config.encoder.build()
        self.estimator = config.estimator.build(config.encoder.widths)
        self.expander = projection_head((config.encoder.width, *config.expander_widths))

    def training_losses(self, content: Clips) -> Losses:
        """VICReg of a frame's views and the losses of motion to the next frame, weighted.

        Which frame of a clip is drawn, from torch's global generator. Spreads are those over all
        ranks.
        """
        first, second = _drawn_pair(content.pixels)
        views = self._embedded_views(first)
        channels, config = views.shape[-1], self.config
        agreement = {
            "invariance": functional.mse_loss(views[0], views[1]),
            "variance": variance_loss(views),
            # published as a sum over pairs of channels, of either view, over the channels
            "covariance": 2 * (channels - 1) * covariance_loss(views),
        }
        motion = self._motion(first, second)
        content_loss = torch.stack([getattr(config, n) * one for n, one in agreement.items()]).sum()
        terms = {f"content_{n}": one for n, one in agreement.items()} | motion
        return Losses(
            total=content_loss + config.motion.weighted(motion),
            terms={name: term.detach() for name, term in terms.items()},
            latents={"target": views.flatten(0, 1).detach()},
        )

    @torch.no_grad()
    def flow(
        self, first: UInt8[Tensor, "b h w c"], second: UInt8[Tensor, "b h w c"]
    ) -> Float[Tensor, "b 2 h w"]:
        """How far each pixel of `first` is moved to the right and downwards, in pixels."""
        return self.estimator(self.encoder(first), self.encoder(second))[0]

    @torch.no_grad()
    def encode(self, clips: UInt8[Tensor, "b t h w c"]) -> Float[Tensor, "b n d"]:
        """The coarsest features of each frame, which is seen alone."""
        coarsest = self.encoder(clips.flatten(0, 1))[-1]
        return rearrange(coarsest, "(b t) d h w -> b (t h w) d", b=len(clips))

    def token_grid(self, clips: UInt8[Tensor, "b t h w c"]) -> TokenGrid:
        """A token for each place of the coarsest level of each frame."""
        stride = self.config.encoder.stride
        return TokenGrid.of(*clips.shape[1:4], tubelet=1, patch=stride)

    def energy(self, context: Clips, target: Clips) -> Float[Tensor, "b"]:
        """The squared error of features as moved from the frame before, by the flow that fits best.

        The mean over levels and over the target's frames, the first of which follows the last of
        the context.
        """
        frames = context.pixels.shape[1]
        if frames < 2:
            raise ValueError("energy: a clip of one frame has no next one; use 2 frames or more")
        last = context.pixels[:, frames // 2 - 1, None]
        film = torch.cat((last, target.pixels[:, frames // 2 :]), dim=1)
        before, after = (self.encoder(part.flatten(0, 1)) for part in (film[:, :-1], film[:, 1:]))
        flows = self.estimator(after, before)
        errors = [
            (warp(moved, flow) - seen).square().flatten(1).mean(dim=1)
            for moved, seen, flow in zip(before, after, flows, strict=True)
        ]
        return rearrange(torch.stack(errors).mean(dim=0), "(b t) -> b t", b=len(film)).mean(dim=1)

    def ema_pairs(self) -> Sequence[EmaPair]:
        """No copy follows."""
        return []

    def parameter_groups(self) -> Sequence[ParameterGroup]:
        """Encoder, head and estimator, each with and without weight decay."""
        rate = self.config.estimator_rate
        estimator = parameter_groups(estimator=self.estimator)
        return [
            *parameter_groups(encoder=self.encoder, expander=self.expander),
            *(replace(group, rate_scale=rate) for group in estimator),
        ]

    def _embedded_views(self, frames: UInt8[Tensor, "b h w c"]) -> Float[Tensor, "v b e"]:
        views = [view.draw(frames[:, None]).pixels[:, 0] for view in self.config.views]
        means = [self.encoder(view)[-1].mean(dim=(2, 3)) for view in views]
        return torch.stack([self.expander(mean).float() for mean in means])

    def _motion(
        self, first: UInt8[Tensor, "b h w c"], second: UInt8[Tensor, "b h w c"]
    ) -> dict[str, Float[Tensor, ""]]:
        """The losses of motion, both ways."""
        both = torch.cat((first, second))
        levels = self.encoder(both)
        others = [level.roll(len(first), dims=0) for level in levels]
        pictures = rearrange(both, "b h w c -> b c h w").float() / 255
        return motion_terms(levels, self.estimator(levels, others), pictures, self.config.motion)


def _drawn_pair(
    clips: UInt8[Tensor, "b t h w c"],
) -> tuple[UInt8[Tensor, "b h w c"], UInt8[Tensor, "b h w c"]]:
    """A frame of each clip, from torch's global generator, and the next one."""
    number = torch.randint(clips.shape[1] - 1, (len(clips),)).to(clips.device)
    clip = torch.arange(len(clips), device=clips.device)
    return clips[clip, number], clips[clip, number + 1]
