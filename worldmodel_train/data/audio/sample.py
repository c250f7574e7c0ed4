"""What `<key>.json` says of the recording beside it in a packed set."""

import json
from typing import Annotated

from pydantic import Field

from worldmodel_train.config import StrictConfig


class RecordingInfo(StrictConfig):
    """A recording as it was packed."""

    rate: Annotated[int, Field(gt=0)]
    """Samples a second."""
    channels: Annotated[int, Field(gt=0)]
    duration: Annotated[float, Field(gt=0)]
    """Seconds."""
    codec: str
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    """Hash of the file of this sample."""
    label: str | None = None
    caption: str | None = None
    source: str
    """The path it was packed from."""

    def to_json(self) -> bytes:
        """The bytes of the sample's json file; the same for the same information."""
        return (json.dumps(self.model_dump(), ensure_ascii=False) + "\n").encode()
