"""How far teachers are from their students, where the state is whole or in pieces."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from worldmodel_train.protocols import EmaPair
from worldmodel_train.training.layouts.layout import Layout
from worldmodel_train.training.layouts.state_tensors import state_tensors

GAP, STUDENTS = "teacher_gap", "teacher_students"


def student_names(objective: nn.Module, pairs: Sequence[EmaPair]) -> dict[str, str]:
    """The name of the student's parameter for that of each teacher's."""
    tensors = state_tensors(objective, pairs)
    names = {id(parameter): name for name, parameter in tensors.trained.items()}
    return {entry.name: names[id(entry.student)] for entry in tensors.followed}


@torch.no_grad()
def squared_gap(layout: Layout, students: Mapping[str, str]) -> dict[str, Float[Tensor, ""]]:
    """Squared norms of teachers less students, and of students; empty without a teacher.

    Of this rank's pieces of the fp32 masters. Both may be summed over ranks: where every rank has
    all, their quotient stays what it is.
    """
    if not students:
        return {}
    pieces = {p.name: p.values for p in layout.pieces() if p.kind == "weights"}
    # one tensor at a time: all differences at once would need a third copy of the model
    gaps = [(pieces[t] - pieces[s]).norm() for t, s in students.items() if t in pieces]
    norms = [pieces[s].norm() for t, s in students.items() if t in pieces]
    none = torch.zeros(1)
    return {
        GAP: torch.stack(gaps or [none]).double().square().sum(),
        STUDENTS: torch.stack(norms or [none]).double().square().sum(),
    }


def relative_gap(sums: dict[str, float]) -> dict[str, float]:
    """The distance as a share of the students' norm; takes its two sums out of `sums`."""
    if GAP not in sums:
        return {}
    gap, students = sums.pop(GAP), sums.pop(STUDENTS)
    return {"monitors/teacher_distance": (gap / students) ** 0.5 if students else float("nan")}
