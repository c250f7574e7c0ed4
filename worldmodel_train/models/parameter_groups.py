"""Which parameters weight decay pulls on."""

from torch import nn

from worldmodel_train.protocols import ParameterGroup


def parameter_groups(**parts: nn.Module) -> list[ParameterGroup]:
    """Two groups for each part: matrices, which decay, and biases and scales, which do not.

    What has one dimension does not decay, as in V-JEPA; so mask tokens, a table, do.
    """
    groups = []
    for name, part in parts.items():
        parameters = [p for p in part.parameters() if p.requires_grad]
        matrices = [p for p in parameters if p.ndim > 1]
        vectors = [p for p in parameters if p.ndim <= 1]
        groups += [
            ParameterGroup(name=name, parameters=matrices, weight_decay=True),
            ParameterGroup(name=f"{name}_no_decay", parameters=vectors, weight_decay=False),
        ]
    return groups
