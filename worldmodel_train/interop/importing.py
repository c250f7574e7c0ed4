"""From another code base's checkpoint into an objective."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor, nn

from worldmodel_train.interop import huggingface, meta
from worldmodel_train.interop.foreign import Foreign, Section
from worldmodel_train.interop.objective_parts import ALL_PARTS, Part, Parts, parts_of
from worldmodel_train.interop.position_table import is_our_table
from worldmodel_train.models.strict_state import CheckpointError, differences, refuse_differences

OTHER_ENCODER: Mapping[Part, Part] = {
    "context_encoder": "target_encoder",
    "target_encoder": "context_encoder",
}


@dataclass(frozen=True, kw_only=True)
class ImportReport:
    """What came from where."""

    layout: str
    loaded: Mapping[Part, str]
    """Each part that was loaded, and what the file calls it."""
    untouched: tuple[Part, ...]
    """Parts that were not asked for and keep their weights."""
    ignored: tuple[str, ...] = field(default=())
    """What else the file holds: an optimizer's state, position tables that we compute."""

    def __str__(self) -> str:
        lines = [f"{part} <- {title} ({self.layout})" for part, title in self.loaded.items()]
        lines += [f"{part} keeps its weights" for part in self.untouched]
        return "\n".join(lines + ([f"ignored: {', '.join(self.ignored)}"] if self.ignored else []))


def import_checkpoint(
    path: Path | str, objective: nn.Module, *, parts: Sequence[Part] = ALL_PARTS
) -> ImportReport:
    """A report of what was loaded into `objective`; all of `parts`, or nothing and an error.

    A directory is read as Hugging Face's layout, a file as Meta's. A file with one encoder fills
    both of ours.
    """
    modules = parts_of(objective)
    foreign = _open(Path(path), modules)
    chosen: dict[Part, Section] = {part: _section(foreign, part) for part in parts}
    tables = [_check_table(foreign, part, section, modules) for part, section in chosen.items()]
    paragraphs = [
        paragraph
        for part, section in chosen.items()
        for paragraph in _differences(foreign, part, section, modules)
    ]
    refuse_differences(str(path), paragraphs)
    for part, state in _states(foreign, chosen, modules).items():
        getattr(modules, part).load_state_dict(state, strict=True)
    return ImportReport(
        layout=foreign.layout,
        loaded={part: section.title for part, section in chosen.items()},
        untouched=tuple(part for part in ALL_PARTS if part not in chosen),
        ignored=(*foreign.ignored, *dict.fromkeys(name for name in tables if name)),
    )


def _open(path: Path, modules: Parts) -> Foreign:
    if path.is_dir():
        return huggingface.read(path, modules)
    if path.is_file():
        return meta.read(path, modules)
    raise CheckpointError(
        f"{path} does not exist; give a directory with config.json and model.safetensors "
        "(Hugging Face), a .pt file (Meta) or a .safetensors file (ours, merged)"
    )


def _section(foreign: Foreign, part: Part) -> Section:
    """Where in the file a part is; either encoder stands in for the other."""
    for candidate in (part, OTHER_ENCODER.get(part, part)):
        if candidate in foreign.sections:
            return foreign.sections[candidate]
    raise CheckpointError(
        f"{foreign.path} ({foreign.layout}) holds no {part}; leave it out of the parts to import, "
        "and it keeps the weights it has"
    )


def _differences(foreign: Foreign, part: Part, section: Section, modules: Parts) -> list[str]:
    """What is missing, extra and mis-shaped in a section, under a heading; empty if it fits."""
    expected = {
        name: link.shape for link in foreign.naming.links(part, modules) for name in link.stored
    }
    table = foreign.naming.table_name(part)
    found = differences(
        expected, {name: shape for name, shape in section.shapes.items() if name != table}
    )
    return [f" {part} <- {section.title}:", *found] if found else []


def _states(
    foreign: Foreign, chosen: Mapping[Part, Section], modules: Parts
) -> dict[Part, dict[str, Tensor]]:
    """Our state dict of each part; two encoders from one section share theirs."""
    by_title: dict[str, dict[str, Tensor]] = {}
    states: dict[Part, dict[str, Tensor]] = {}
    for part, section in chosen.items():
        if section.title not in by_title:
            links, ours = foreign.naming.links(part, modules), getattr(modules, part).state_dict()
            by_title[section.title] = section.state(links, ours, foreign.path)
        states[part] = by_title[section.title]
    return states


def _check_table(foreign: Foreign, part: Part, section: Section, modules: Parts) -> str | None:
    """Name of the section's position table, if it has one and it says what we compute."""
    name = foreign.naming.table_name(part)
    if name is None or name not in section.shapes:
        return None
    stored = section.read(name)
    position = modules.target_encoder.position
    if stored.ndim != 3 or len(stored) != 1 or not is_our_table(stored, position):
        raise CheckpointError(
            f"{foreign.path}: {section.title}.{name} is not the fixed sine-cosine table that "
            f"position {position.name} computes; models with learned or resized positions "
            "cannot be imported"
        )
    return f"{section.title}.{name}"
