"""AdamW's moments from one of Meta's `.pt` files, where `opt` is what torch's AdamW saved.

The released code of I-JEPA, V-JEPA, V-JEPA 2, 2-AC and 2.1 has four groups of parameters: of the
encoder and of the predictor those that decay, then of both those that do not (biases and whatever
has one axis). Within a group they have the order of the model, which is that of the file's state
dicts. Tables of positions are among them, and V-JEPA 2-AC's encoder; as they are not trained, they
have no state.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn

from worldmodel_train.interop import meta, torch_file
from worldmodel_train.interop.foreign import Section
from worldmodel_train.interop.links import Link
from worldmodel_train.interop.motion import motion_predictor, predictor_links
from worldmodel_train.interop.objective_parts import Part, parts_of
from worldmodel_train.models.strict_state import CheckpointError

Moment = Literal["exp_avg", "exp_avg_sq"]

_State = Mapping[str, object]
_KEYS = ("encoder", "predictor")
"""What the file calls the networks that its optimizer is given, in that order."""
_TRAINED: tuple[Part, Part] = ("context_encoder", "predictor")


@dataclass(frozen=True, kw_only=True)
class ImportedMoments:
    """AdamW's moments by the names of our weights, in fp32, and how many steps they have seen."""

    step: int
    moments: Mapping[Moment, Mapping[str, Tensor]]

    def __str__(self) -> str:
        count = len(self.moments["exp_avg"])
        return f"AdamW's moments of {count} tensors after {self.step} steps <- opt (meta)"


def import_moments(path: Path | str, objective: nn.Module) -> ImportedMoments:
    """The moments of every weight that is trained; zeros where the file has never stepped one.

    For a file whose weights fit the objective, as `import_checkpoint` finds out.

    Raises:
        CheckpointError: The file has no optimizer's state, or that of another model or optimizer.
    """
    stored = _Stored(Path(path), objective)
    return ImportedMoments(
        step=stored.step(), moments={kind: stored.moments(kind) for kind in get_args(Moment)}
    )


class _Place(NamedTuple):
    """A tensor of the file's state dicts."""

    key: str
    name: str


class _Trained(NamedTuple):
    """A network that is trained here."""

    name: str
    """Of the module in the objective."""
    state: Mapping[str, Tensor]
    links: Sequence[Link]


def _trained(objective: nn.Module) -> dict[str, _Trained]:
    """The networks that are trained here, by what the file calls them."""
    if (predictor := motion_predictor(objective)) is not None:
        found = _Trained("predictor", predictor.state_dict(), predictor_links(predictor))
        return {"predictor": found}
    parts = parts_of(objective)
    naming = meta.naming_of(parts)
    return {
        meta.KEYS[part]: _Trained(
            part, getattr(parts, part).state_dict(), naming.links(part, parts)
        )
        for part in _TRAINED
    }


class _Stored:
    """A file's optimizer, whose numbered states are given the names of its parameters."""

    def __init__(self, path: Path, objective: nn.Module) -> None:
        if not path.is_file():
            raise CheckpointError(f"{path} is no file; only Meta's .pt files hold an optimizer")
        content = torch_file.load(path)
        self._path, self._trained = path, _trained(objective)
        self._sections = {key: self._section(content, key) for key in _KEYS}
        groups, states = self._optimizer(content.get("opt"))
        self._states = {
            place: states[number]
            for number, place in self._numbered(groups)
            if number in states  # others were never stepped
        }

    def step(self) -> int:
        """How many steps all of the states have seen."""
        seen = {_whole_number(state.get("step")) for state in self._states.values()}
        if len(seen) != 1 or None in seen:
            raise self._refused(f"its states have seen {sorted(map(str, seen))} steps, not as many")
        return seen.pop() or 0

    def moments(self, kind: Moment) -> dict[str, Tensor]:
        """One moment of each weight that is trained, by our names."""
        found: dict[str, Tensor] = {}
        for key, ours in self._trained.items():
            section = self._sections[key]
            moments = Section(
                title=f"opt.{kind} of {section.title}",
                shapes=section.shapes,
                read=partial(self._read, key, kind),
            )
            for name, tensor in moments.state(ours.links, ours.state, self._path).items():
                found[f"{ours.name}.{name}"] = tensor.float()
        return found

    def _read(self, key: str, kind: Moment, name: str) -> Tensor:
        shape, state = self._sections[key].shapes[name], self._states.get(_Place(key, name))
        if state is None:
            return torch.zeros(shape)
        tensor = state.get(kind)
        if not isinstance(tensor, Tensor) or tuple(tensor.shape) != shape:
            found = tuple(tensor.shape) if isinstance(tensor, Tensor) else type(tensor).__name__
            raise self._refused(f"{kind} of {key}.{name} is {found}, its weight is {shape}")
        return tensor

    def _section(self, content: Mapping[str, object], key: str) -> Section:
        if key not in content:
            raise CheckpointError(f"{self._path} holds no {key}, whose parameters `opt` numbers")
        return meta.section_of(self._path, key, content[key])

    def _optimizer(self, opt: object) -> tuple[Sequence[Sequence[object]], Mapping[object, _State]]:
        """The numbers of each group's parameters, and their states."""
        if not isinstance(opt, Mapping):
            raise CheckpointError(
                f"{self._path} holds no optimizer's state (opt); leave out --optimizer, and train "
                "with train.init.optimizer=false"
            )
        groups, states = opt.get("param_groups"), opt.get("state")
        if not isinstance(groups, Sequence) or not isinstance(states, Mapping):
            raise self._refused("it has no state and param_groups, as torch's AdamW saves them")
        numbers: list[list[object]] = []
        for group in groups:
            params = group.get("params") if isinstance(group, Mapping) else None
            if not isinstance(params, list):
                raise self._refused("one of its groups lists no params")
            numbers.append(params)
        if not all(isinstance(state, Mapping) for state in states.values()):
            raise self._refused("one of its states is none")
        return numbers, states

    def _numbered(self, groups: Sequence[Sequence[object]]) -> Iterator[tuple[object, _Place]]:
        """The number and the name of each parameter."""
        expected = list(self._expected())
        if [len(group) for group in groups] != [len(group) for group in expected]:
            raise self._refused(
                f"it has groups of {[len(group) for group in groups]} parameters, and encoder and "
                f"predictor give groups of {[len(group) for group in expected]}"
            )
        for numbers, places in zip(groups, expected, strict=True):
            yield from zip(numbers, places, strict=True)

    def _expected(self) -> Iterator[list[_Place]]:
        """The parameters of each group: those that decay, then the others."""
        for decays in (True, False):
            for key, section in self._sections.items():
                yield [
                    _Place(key, name)
                    for name, shape in section.shapes.items()
                    if ("bias" not in name and len(shape) != 1) == decays
                ]

    def _refused(self, why: str) -> CheckpointError:
        return CheckpointError(f"{self._path}: opt is not the released code's AdamW: {why}")


def _whole_number(step: object) -> int | None:
    """Steps, which newer versions of torch keep in a tensor; None for what is no such number."""
    number: object = step.item() if isinstance(step, Tensor) and step.numel() == 1 else step
    if isinstance(number, int | float) and number >= 0 and float(number).is_integer():
        return int(number)
    return None
