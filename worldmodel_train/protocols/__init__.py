"""What the parts offer each other."""

from worldmodel_train.protocols.acting import (
    BeliefT,
    Energy,
    HasPolicies,
    LatentDynamics,
    Plan,
    Planner,
    Policy,
)
from worldmodel_train.protocols.energy import HasEnergy
from worldmodel_train.protocols.latents import (
    Classifier,
    Encoder,
    LatentPredictor,
    LatentRenderer,
    OpenPredictor,
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

__all__ = [
    "AfterStep",
    "BeliefT",
    "Classifier",
    "EmaPair",
    "Encoder",
    "Energy",
    "EstimatesFlow",
    "FollowsStep",
    "HasEnergy",
    "HasPhases",
    "HasPictures",
    "HasPolicies",
    "LatentDynamics",
    "LatentPredictor",
    "LatentRenderer",
    "MaskSampler",
    "Objective",
    "OpenPredictor",
    "ParameterGroup",
    "Phase",
    "Plan",
    "Planner",
    "Policy",
    "Preparation",
    "SoundEncoder",
]
