"""What the parts offer each other."""

from worldmodel_train.protocols.acting import (
    BeliefT,
    Energy,
    HasPolicies,
    LatentDynamics,
    Plan,
    Planner,
    Policy,
    RendersFrames,
    asks_for_states,
)
from worldmodel_train.protocols.energy import HasEnergy
from worldmodel_train.protocols.latents import (
    Classifier,
    Encoder,
    LatentPredictor,
    LatentRenderer,
    LevelPredictor,
    OpenPredictor,
    PredictsGaussians,
    SoundEncoder,
)
from worldmodel_train.protocols.motion import EstimatesFlow
from worldmodel_train.protocols.training import (
    AfterStep,
    EmaPair,
    FollowsStep,
    HasPhases,
    HasPictures,
    MaskSampler,
    Objective,
    ParameterGroup,
    Phase,
    Preparation,
)
from worldmodel_train.protocols.views import ForeseesViews, ReadsViews, View

__all__ = [
    "AfterStep",
    "BeliefT",
    "Classifier",
    "EmaPair",
    "Encoder",
    "Energy",
    "EstimatesFlow",
    "FollowsStep",
    "ForeseesViews",
    "HasEnergy",
    "HasPhases",
    "HasPictures",
    "HasPolicies",
    "LatentDynamics",
    "LatentPredictor",
    "LatentRenderer",
    "LevelPredictor",
    "MaskSampler",
    "Objective",
    "OpenPredictor",
    "ParameterGroup",
    "Phase",
    "Plan",
    "Planner",
    "Policy",
    "PredictsGaussians",
    "Preparation",
    "ReadsViews",
    "RendersFrames",
    "SoundEncoder",
    "View",
    "asks_for_states",
]
