"""Causal-JEPA: hide whole things, and predict them from the others (arXiv 2602.11389).

The slots of another run's encoder stay as they are. Of some slots only the first frame is shown,
which says who is meant; where they go must be inferred from the others. All slots of later frames
are predicted too, and so is what a robot feels of itself, if it does.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int, UInt8
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from worldmodel_train.config import StrictConfig
from worldmodel_train.facts import DataFacts, EpisodeFacts, Misfit, RecipeFacts
from worldmodel_train.jepa.episode_cost import frame_size
from worldmodel_train.jepa.monitored_tokens import monitored_tokens
from worldmodel_train.models.cost import PlainCost, num_built_parameters
from worldmodel_train.models.episode_misfits import refuse_other_actions, refuse_vectors
from worldmodel_train.models.frozen import FrozenPart, PartConfig
from worldmodel_train.models.frozen_slots import FrozenSlots, slot_encoder
from worldmodel_train.models.gather import gather_tokens
from worldmodel_train.models.parameter_groups import parameter_groups
from worldmodel_train.models.projection_head import head_forward
from worldmodel_train.models.slot_encoder import slot_flops
from worldmodel_train.models.slot_predictor import (
    Nodes,
    SlotPredictor,
    SlotPredictorConfig,
    slot_predictor_step,
)
from worldmodel_train.models.token_fit import one_length
from worldmodel_train.protocols import EmaPair, ParameterGroup
from worldmodel_train.types import Clips, LatentPair, Losses, TokenGrid, Trajectories


class Config(StrictConfig):
    """Of films, or of episodes, which have actions or states; the defaults are those for Push-T.

    States are what a robot feels of itself, and are predicted as the numbers they are; released
    code predicts a learned map of them. Slots are normalised.
    """

    encoder: PartConfig
    """What sees slots: `part: encoder` of a run of renderers/slot_autoencoder."""
    predictor: SlotPredictorConfig = SlotPredictorConfig()
    history: int = Field(default=3, ge=2)
    """Frames that are seen."""
    horizon: int = Field(default=1, ge=1)
    """Frames after them that are predicted."""
    masked: int = Field(default=1, ge=0)
    """Slots of each film that are hidden after its first frame: others in each film and step."""
    place_weight: float = Field(default=0.0, ge=0)
    """How loudly where a slot looks is added to each of its numbers; 0 adds nothing, as published.
    What a slot holds may say so softly where its thing is that the loss hardly hears of it."""
    actions: int = Field(default=0, ge=0)
    """Numbers in an action: those of one step, times the steps that one action stands for."""
    states: int = Field(default=0, ge=0)
    """Numbers that are known of oneself in each frame."""

    @property
    def takes(self) -> Literal["clips", "trajectories"]:
        """Films have neither actions nor states."""
        return "trajectories" if self.actions or self.states else "clips"

    @property
    def frames(self) -> int:
        """Of a film or window."""
        return self.history + self.horizon

    @classmethod
    def tiny(cls) -> "Config":
        """A model that trains in moments on a CPU, for tests."""
        return cls(
            encoder=PartConfig(checkpoint=Path("a tiny slot_autoencoder"), part="encoder"),
            predictor=SlotPredictorConfig(depth=2, heads=2, mlp_ratio=2.0),
            actions=2,
            states=3,
        )

    def misfits(self, facts: RecipeFacts) -> Iterator[Misfit]:
        """Films of another length; what suits episodes and encoder, `build` looks at."""
        if self.takes == "trajectories":
            return
        yield from one_length(facts.data)
        first = facts.data.sources[0]
        if first.clip.frames != self.frames:
            message = f"not method.history + method.horizon; use {self.frames}"
            yield (*first.key, "clip", "frames"), f"{first.clip.frames} is {message}"

    def preparation(self) -> None:
        """Films and episodes are taken as they are read; slots to hide are drawn at the loss."""

    def cost(self, facts: RecipeFacts) -> PlainCost | None:
        """Parameters that are trained, and operations of a film or window.

        None before the encoder's run was looked at and, of episodes, one was opened.

        Raises:
            ValueError: As `build` does.
        """
        data = facts.data
        opened = self.takes == "clips" or data.episodes is not None
        if facts.frozen is None or not opened:
            return None
        part = facts.frozen("encoder")
        encoder = slot_encoder(part.network, origin=part.origin).config
        self._refuse_others(encoder.slots, part.origin, data.episodes)
        nodes = Nodes(encoder.slots, self.frames, self.history, self.actions, self.states)
        blocks = self.predictor.blocks(encoder.width)
        seen = slot_flops(encoder, self.frames, *frame_size(data)).forward
        placed = head_forward((2, encoder.width)).times(self.frames * encoder.slots)
        trained = num_built_parameters(lambda: self._predictor(encoder.width))
        return PlainCost(
            parameters={"predictor": trained},
            flops={
                "frozen encoder, forward": seen.plus(placed),
                "predictor, forward + backward": slot_predictor_step(blocks, nodes),
            },
        )

    def _predictor(self, width: int) -> SlotPredictor:
        return self.predictor.build(
            width, frames=self.frames, actions=self.actions, states=self.states
        )

    def build(self, data: DataFacts, *, encoder: FrozenPart) -> "CausalJepa":
        """A freshly initialised predictor, drawn from torch's global generator.

        Raises:
            ValueError: The part sees no slots, or too few, or the episodes are of other shapes.
        """
        slots = FrozenSlots(encoder, self.place_weight)
        self._refuse_others(slots.slots, encoder.origin, data.episodes)
        return CausalJepa(self, slots, self._predictor(slots.width))

    def _refuse_others(self, slots: int, origin: str, episodes: EpisodeFacts | None) -> None:
        if self.masked >= slots:
            raise ValueError(
                f"method.masked={self.masked} hides all {slots} slots of {origin}; use fewer"
            )
        if self.takes == "trajectories" and episodes is not None:
            self._refuse_other_episodes(episodes)

    def _refuse_other_episodes(self, episodes: EpisodeFacts) -> None:
        refuse_vectors(episodes, method="jepa/causal_jepa")
        if self.actions:
            refuse_other_actions(episodes, method="jepa/causal_jepa", actions=self.actions)
        if self.states and episodes.state_width != self.states:
            raise ValueError(
                f"method.states={self.states}, but the episodes have "
                f"{episodes.state_width or 'no'} numbers of states; use {episodes.state_width or 0}"
            )
        if episodes.steps != self.frames:
            raise ValueError(
                f"data.steps={episodes.steps} is not method.history + method.horizon; "
                f"use {self.frames}"
            )


class CausalJepa(nn.Module):
    """A predictor of slots; an `Encoder`, whose tokens are the slots that it is given."""

    def __init__(self, config: Config, slots: FrozenSlots, predictor: SlotPredictor) -> None:
        super().__init__()
        self.config = config
        self.slots = slots
        self.predictor = predictor

    def training_losses(self, content: Clips | Trajectories) -> Losses:
        """The squared errors of hidden slots, of slots to come, and of states to come, added.

        Who is hidden comes from torch's global generator. `copied` is the error of the last slots
        that are seen taken for all later ones, for comparison.
        """
        told = self._actions(content), self._states(content)
        return self.losses_of_slots(self.slots(_pixels(content)), *told)

    def losses_of_slots(
        self,
        slots: Float[Tensor, "b t s d"],
        actions: Float[Tensor, "b t-1 a"],
        states: Float[Tensor, "b t c"],
    ) -> Losses:
        """The same, of slots wherever they are from."""
        history = self.config.history
        drawn = draw_hidden(len(slots), slots.shape[2], self.config.masked)
        who = drawn.to(slots.device, non_blocking=True)
        hidden = _nobody(slots).scatter(1, who, value=True)
        predicted, felt = self.predictor(slots[:, :history], hidden, actions, states[:, :history])
        errors = {"future": functional.mse_loss(predicted[:, history:], slots[:, history:])}
        if self.config.masked:
            off = rearrange((predicted - slots)[:, 1:history], "b t s d -> b s (t d)")
            errors["hidden"] = gather_tokens(off, who).square().mean()
        if self.config.states:
            errors["states"] = functional.mse_loss(felt[:, history:], states[:, history:])
        last = slots[:, history - 1 : history].expand_as(slots[:, history:])
        copied = functional.mse_loss(last, slots[:, history:])
        pair = LatentPair(predicted=predicted[:, history:], target=slots[:, history:])
        watched = monitored_tokens([[pair]])
        return Losses(
            total=torch.stack(list(errors.values())).sum(),
            terms={name: error.detach() for name, error in errors.items()} | {"copied": copied},
            latents={"predicted": watched.predicted, "target": watched.target},
            samples=watched.samples,
        )

    def following(
        self,
        seen: Float[Tensor, "b h s d"],
        actions: Float[Tensor, "b steps a"],
        states: Float[Tensor, "b h c"],
    ) -> Float[Tensor, "b _ s d"]:
        """The slots of the frames after those whose slots are seen; any slot may be left out.

        There is one action less than frames, those that are predicted included.
        """
        return self.predictor(seen, _nobody(seen), actions, states)[0][:, seen.shape[1] :]

    def energy(
        self, context: Clips | Trajectories, target: Clips | Trajectories
    ) -> Float[Tensor, "b"]:
        """The squared error of the target's slots, which follow the context's, for each pair.

        The context's past and the target's rest are seen as one film, in which slots keep their
        numbers. Of a film the last `history` frames of its first half are shown, as the predictor
        knows no more; of an episode its first frame alone. Where that, or half a film, is less than
        `history`, less is shown than in training.
        """
        frames = _pixels(context).shape[1]
        now = frames // 2 if isinstance(context, Clips) else 1
        first = max(0, now - self.config.history)
        past, rest = _pixels(context)[:, first:now], _pixels(target)[:, now:]
        slots = self.slots(torch.cat((past, rest), dim=1))
        told = self._actions(context)[:, first:], self._states(context)[:, first:now]
        off = self.following(slots[:, : now - first], *told) - slots[:, now - first :]
        return off.square().flatten(1).mean(dim=1)

    def encode(self, clips: UInt8[Tensor, "b t h w c"]) -> Float[Tensor, "b n d"]:
        """The slots of all frames: what the frozen encoder sees, normalised."""
        return self.slots(clips).flatten(1, 2)

    def token_grid(self, clips: UInt8[Tensor, "b t h w c"]) -> TokenGrid:
        """Frames by slots, which lie nowhere."""
        return TokenGrid(clips.shape[1], self.slots.slots, 1)

    def ema_pairs(self) -> Sequence[EmaPair]:
        """Nothing follows."""
        return []

    def parameter_groups(self) -> Sequence[ParameterGroup]:
        """The predictor, with and without weight decay."""
        return parameter_groups(predictor=self.predictor)

    def frozen_parts(self) -> dict[str, FrozenPart]:
        """The encoder."""
        return {"encoder": self.slots.encoder}

    def _actions(self, content: Clips | Trajectories) -> Float[Tensor, "b steps a"]:
        """Of no numbers where none are told, as many as there are steps."""
        if isinstance(content, Trajectories) and self.config.actions:
            return content.actions.float()
        pixels = _pixels(content)
        return torch.empty(len(pixels), pixels.shape[1] - 1, 0, device=pixels.device)

    def _states(self, content: Clips | Trajectories) -> Float[Tensor, "b t s"]:
        """Of no numbers where none are told."""
        if isinstance(content, Trajectories) and self.config.states:
            assert content.states is not None, "build has seen to it"
            return content.states
        pixels = _pixels(content)
        return torch.empty(*pixels.shape[:2], 0, device=pixels.device)


def draw_hidden(films: int, slots: int, masked: int) -> Int[Tensor, "b m"]:
    """Which `masked` slots of each film are hidden, from torch's global generator."""
    return torch.rand(films, slots).argsort(dim=1)[:, :masked]


def _nobody(slots: Float[Tensor, "b t s d"]) -> Bool[Tensor, "b s"]:
    """No slot is hidden."""
    return torch.zeros(len(slots), slots.shape[2], dtype=torch.bool, device=slots.device)


def _pixels(content: Clips | Trajectories) -> UInt8[Tensor, "b t h w c"]:
    if isinstance(content, Clips):
        return content.pixels
    if content.valid is not None:
        raise ValueError("jepa/causal_jepa takes stretches without padding; cut them equally")
    return content.observations
