"""Runs tasks on a subject."""

import time
from collections.abc import Iterator, Sequence

from pydantic import BaseModel

from worldmodel_train.evaluation.frozen import device_of
from worldmodel_train.evaluation.machine import describe_machine
from worldmodel_train.evaluation.result import Measurement
from worldmodel_train.evaluation.task import Subject, Task


def evaluate(subject: Subject, tasks: Sequence[Task], *, step: int) -> Iterator[Measurement]:
    """What each task found, in turn; `step` is that of the trained weights."""
    machine = describe_machine(device_of(subject.trained))
    for task in tasks:
        start = time.monotonic()
        result = task.run(subject)
        yield Measurement(
            task=task.name,
            settings=settings_of(task),
            step=step,
            result=result,
            machine=machine,
            seconds=time.monotonic() - start,
        )


def settings_of(task: Task) -> dict[str, object]:
    """What the recipe says of the task, as plain values."""
    assert isinstance(task, BaseModel), "a task is the Config of a file"
    return task.model_dump(mode="json")
