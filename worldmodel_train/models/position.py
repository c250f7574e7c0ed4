"""How tokens learn where they are: the choices a recipe has under `position`.

Each is its own configuration and has two methods: `add` acts on tokens before the first block,
`rotation` gives what attention applies to queries and keys. One of the two does nothing.
"""

from typing import Annotated

from pydantic import Field

from worldmodel_train.models.rope import Rope3d, Rope3dVJepa2
from worldmodel_train.models.sincos import SinCos2d, SinCos3d

Position = Annotated[Rope3d | Rope3dVJepa2 | SinCos3d | SinCos2d, Field(discriminator="name")]
