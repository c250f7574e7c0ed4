"""Distances between predicted and target latents; each config is also the loss it names."""

from typing import Annotated

from pydantic import Field

from worldmodel_train.losses.lp import Lp, lp_loss
from worldmodel_train.losses.smooth_l1 import SmoothL1, smooth_l1_loss

LossConfig = Annotated[Lp | SmoothL1, Field(discriminator="name")]

__all__ = ["LossConfig", "Lp", "SmoothL1", "lp_loss", "smooth_l1_loss"]
