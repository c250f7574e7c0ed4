"""A decoder for people: pictures out of the latents that a world model plans with.

It is trained after the model, on latents that stay as they are, and reads those that the model
foretells as well as those of what is seen. What a latent does not tell is painted as is likely.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import torch
from jaxtyping import Float, UInt8
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from worldmodel_train.config import StrictConfig
from worldmodel_train.facts import DataFacts, EpisodeFacts, Misfit, RecipeFacts
from worldmodel_train.models.blocks import Blocks, BlocksConfig, init_linear, rescale_residuals
from worldmodel_train.models.episode_misfits import refuse_other_pictures
from worldmodel_train.models.frozen import WHOLE, FrozenPart, PartConfig
from worldmodel_train.models.layer_norm import LastNorm
from worldmodel_train.models.linear import Linear
from worldmodel_train.models.parameter_groups import parameter_groups
from worldmodel_train.models.position import Places
from worldmodel_train.models.sincos import SinCos2d
from worldmodel_train.models.token_sets import lay_flat
from worldmodel_train.models.tubelet_pixels import Tubelet, cut_tubelets, join_tubelets
from worldmodel_train.protocols import EmaPair, LatentDynamics, ParameterGroup, asks_for_states
from worldmodel_train.types import Losses, TokenGrid, Trajectories


class Config(StrictConfig):
    """A decoder of the latents of another run, which plans."""

    takes: ClassVar[str] = "trajectories"

    world_model: PartConfig
    """The run, whole: `part: .`. Its episodes' pictures are learned from."""
    size: BlocksConfig
    """Blocks from a latent to pixels."""
    hidden: int = Field(default=256, gt=0)
    """Channels of the MLP that makes a token for each patch of a latent."""
    patch: int = Field(default=8, gt=0)
    """Height and width of the squares that a picture is painted in, in pixels."""

    @classmethod
    def tiny(cls) -> "Config":
        """A model that trains in moments on a CPU, for tests; it needs some tiny world model."""
        return cls(
            world_model=PartConfig(checkpoint=Path("a tiny leworldmodel"), part=WHOLE),
            size=BlocksConfig(width=32, depth=1, heads=2),
        )

    def misfits(self, facts: RecipeFacts) -> Iterator[Misfit]:
        """Nothing before an episode is opened; `build` looks at what it is given."""
        del facts
        yield from ()

    def preparation(self) -> None:
        """Trajectories are taken as they are read."""

    def cost(self, facts: RecipeFacts) -> None:
        """Not counted: much of it is another run's model."""

    def build(self, data: DataFacts, *, world_model: FrozenPart) -> "FrameDecoder":
        """A freshly initialised decoder, drawn from torch's global generator.

        Raises:
            ValueError: The part does not plan from such pictures alone, or they are not whole
                patches.
        """
        assert data.episodes is not None, "episodes were opened"
        grid = self._painted(data.episodes)
        _refuse_others(world_model, data.episodes)
        return FrameDecoder(self, world_model, grid, data.episodes)

    def _painted(self, episodes: EpisodeFacts) -> TokenGrid:
        if len(episodes.observation) != 3:
            raise ValueError(
                "renderers/frame_decoder paints pictures, and observations of the episodes have "
                f"the shape {episodes.observation}; use episodes with pixels"
            )
        refuse_other_pictures(episodes, patch=self.patch, key="method.patch")
        height, width, _ = episodes.observation
        return TokenGrid.of(1, height, width, tubelet=1, patch=self.patch)


class Painter(nn.Module):
    """One latent to the patches of a picture: an MLP to a token for each, and blocks over these."""

    def __init__(self, config: Config, latent_width: int, grid: TokenGrid, colours: int) -> None:
        super().__init__()
        self.grid = grid
        self.places = Places(SinCos2d(), config.size.head_width)
        self.spread = nn.Sequential(
            Linear(latent_width, config.hidden),
            nn.GELU(),
            Linear(config.hidden, grid.num_tokens * config.size.width),
        )
        self.blocks = Blocks(config.size)
        self.norm = LastNorm(config.size.width, eps=1e-6)
        self.head = Linear(config.size.width, colours * config.patch**2)
        self.apply(init_linear)
        rescale_residuals(self.blocks)

    def forward(self, latents: Float[Tensor, "b d"]) -> Float[Tensor, "b n p"]:
        """The patches, in fp32; mid-grey is where the linear map begins."""
        rows, tokens = len(latents), self.grid.num_tokens
        index = torch.arange(tokens, device=latents.device)[None]
        spread = self.spread(latents).unflatten(1, (tokens, -1))
        placed = self.places.add(spread, index, self.grid)
        group = self.places.group(index, None, self.grid, rows, one_length=True)
        flat = self.norm(self.blocks(lay_flat([placed]), [group]))
        return (0.5 + self.head(flat).float()).unflatten(0, (rows, tokens))


class FrameDecoder(nn.Module):
    """Learns the picture that a latent stands for; the model that it is of is held by reference."""

    def __init__(
        self, config: Config, world_model: FrozenPart, grid: TokenGrid, episodes: EpisodeFacts
    ) -> None:
        super().__init__()
        self.world_model = world_model
        self.action_width = episodes.action_width
        self.size = Tubelet(tubelet=1, patch=config.patch)
        blank = torch.zeros(1, *episodes.observation, dtype=torch.uint8)
        latent_width = self._latents(blank).shape[-1]
        self.painter = Painter(config, latent_width, grid, episodes.observation[-1])

    def training_losses(self, content: Trajectories) -> Losses:
        """The squared error of pixels: by the absolute one, small things are best left out."""
        every = content.observations.flatten(0, 1)
        frames = every if content.valid is None else every[content.valid.flatten()]
        painted = self.painter(self._latents(frames))
        error = functional.mse_loss(painted, cut_tubelets(frames[:, None], self.size))
        return Losses(total=error, terms={"pixels": error.detach()})

    def frame_size(self) -> tuple[int, int]:
        """Height and width of what it paints, in pixels."""
        grid, patch = self.painter.grid, self.size.patch
        return grid.height * patch, grid.width * patch

    def render(self, latents: Float[Tensor, "b d"]) -> UInt8[Tensor, "b h w c"]:
        """The pictures that these latents are taken for."""
        return join_tubelets(self.painter(latents), self.painter.grid, self.size)[:, 0]

    def ema_pairs(self) -> Sequence[EmaPair]:
        """Nothing follows."""
        return ()

    def parameter_groups(self) -> Sequence[ParameterGroup]:
        """The painter, with and without weight decay."""
        return parameter_groups(painter=self.painter)

    def frozen_parts(self) -> dict[str, FrozenPart]:
        """The world model."""
        return {"world_model": self.world_model}

    @torch.no_grad()
    def _latents(self, frames: UInt8[Tensor, "b h w c"]) -> Float[Tensor, "b d"]:
        """Of each picture by itself, as a goal is seen."""
        model = self.world_model.on(frames.device)
        assert isinstance(model, LatentDynamics), "it was one"
        nothing_done = torch.empty(len(frames), 0, self.action_width, device=frames.device)
        return model.latent(model.encode(frames[:, None], nothing_done))


def _refuse_others(part: FrozenPart, episodes: EpisodeFacts) -> None:
    """Raises ValueError unless it plans, and from such pictures alone."""
    model, seen = part.on(torch.device("cpu")), part.episodes
    named = f"method.world_model: {part.origin} is a {type(model).__name__}, which"
    if not isinstance(model, LatentDynamics):
        raise ValueError(
            f"{named} foretells nothing of what actions lead to; name a run such as one of "
            f"jepa/leworldmodel, and part: {WHOLE}"
        )
    if asks_for_states(model):
        raise ValueError(
            f"{named} plans from states too; name a run that plans from pictures alone, such as "
            "one of jepa/leworldmodel"
        )
    if seen is not None and seen.observation != episodes.observation:
        raise ValueError(
            f"{named} was trained on observations of shape {seen.observation}, and those of the "
            f"episodes have {episodes.observation}; name a run that was trained on such pictures"
        )
