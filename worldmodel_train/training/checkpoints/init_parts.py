"""`train.init.parts`: parts of an objective that begin as parts of other runs."""

from collections.abc import Iterator, Mapping
from functools import partial

from torch import Tensor, nn

from worldmodel_train.models.frozen import WHOLE, PartConfig
from worldmodel_train.models.strict_state import CheckpointError, differences, refuse_differences
from worldmodel_train.protocols import Objective
from worldmodel_train.training.checkpoints.files import Shapes
from worldmodel_train.training.checkpoints.folder import find_checkpoint
from worldmodel_train.training.checkpoints.reader import CheckpointReader
from worldmodel_train.training.checkpoints.restore import read_together
from worldmodel_train.training.layouts.layout import Layout, fill_weights
from worldmodel_train.training.ranks.agreement import Agreement
from worldmodel_train.types import Content


class InitParts:
    """What fills some parts of a new run; what can be wrong is found before anything is loaded."""

    def __init__(self, parts: Mapping[str, PartConfig], shapes: Shapes) -> None:
        self._parts = parts
        for name, part in parts.items():
            if part.part == WHOLE:
                raise CheckpointError(
                    f"train.init.parts.{name}.part={WHOLE} is a whole objective; name a part "
                    "such as target_encoder, or begin from all of it by train.init.checkpoint"
                )
        found_at = {
            name: find_checkpoint(part.checkpoint, _key(name)) for name, part in parts.items()
        }
        # several parts may come from one checkpoint, which is then opened and verified once
        by_path = {path: CheckpointReader(path) for path in found_at.values()}
        self._readers = {name: by_path[path] for name, path in found_at.items()}
        for name, part in parts.items():
            expected = _inside(shapes, name)
            if not expected:
                known = ", ".join(sorted({tensor.partition(".")[0] for tensor in shapes}))
                raise CheckpointError(f"{_key(name)}: the objective has no {name}, but {known}")
            found = _inside(self._readers[name].meta.shapes, part.part)
            title = f"{part.part} of {part.checkpoint}, for {_key(name)},"
            refuse_differences(title, differences(expected, found))

    def fill(self, layout: Layout, agreement: Agreement) -> None:
        """Fills the parts.

        Raises:
            CheckpointError: A checkpoint is damaged or cannot be read; on all ranks.
        """
        readers = {id(reader): reader for reader in self._readers.values()}.values()
        fill = partial(self._fill, layout)
        problem = read_together(readers, fill, agreement)
        if problem is not None:
            raise CheckpointError(problem)

    @property
    def identity(self) -> tuple[str, str]:
        """The checkpoints' paths, and what tells their contents from others'."""
        readers = self._readers.values()
        paths = ", ".join(str(reader.checkpoint) for reader in readers)
        return paths, "".join(reader.meta.model_dump_json() for reader in readers)

    def _fill(self, layout: Layout) -> None:
        fill_weights(layout, dict(self._weights()))

    def _weights(self) -> Iterator[tuple[str, Tensor]]:
        for name, part in self._parts.items():
            reader = self._readers[name]
            for inside, tensor in reader.weights(f"{part.part}.").items():
                yield f"{name}.{inside.removeprefix(f'{part.part}.')}", tensor


def require_teachers(parts: Mapping[str, PartConfig], objective: Objective[Content]) -> None:
    """Raises ValueError where a part is filled and the teacher that begins as its copy is not."""
    assert isinstance(objective, nn.Module)
    names = {id(module): name for name, module in objective.named_modules()}
    for pair in objective.ema_pairs():
        student, teacher = names[id(pair.student)], names[id(pair.teacher)]
        if student in parts and teacher not in parts:
            raise ValueError(
                f"train.init.parts fills {student} and leaves {teacher}, which follows it, as it "
                f"was drawn; name a source for {teacher} too"
            )


def _key(name: str) -> str:
    return f"train.init.parts.{name}.checkpoint"


def _inside(shapes: Shapes, part: str) -> Shapes:
    """The shapes of a part's tensors by their names inside of it."""
    prefix = f"{part}."
    return {
        name.removeprefix(prefix): shape
        for name, shape in shapes.items()
        if name.startswith(prefix)
    }
