"""The page's task is found by its file, and measures what it says."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import nn

from worldmodel_train.config.components import component_configs
from worldmodel_train.evaluation import tasks
from worldmodel_train.evaluation.report import render_report
from worldmodel_train.evaluation.result import EvaluationResult, Machine, Measurement
from worldmodel_train.evaluation.task import Subject, Task
from worldmodel_train.recipe import load_recipe
from worldmodel_train.types import Clips, TokenGrid

PAGE = Path(__file__).parents[2] / "docs" / "add_a_task.md"
BLOCK = re.compile(r"^```python (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Pixels(nn.Module):
    """Tokens are the colours of whole frames: clips of one colour each never change in time."""

    def token_grid(self, clips):
        return TokenGrid(clips.shape[1], 1, 1)

    def encode(self, clips):
        return clips.float().mean(dim=(2, 3))

    def predict(self, group):
        raise AssertionError("is not asked for")

    def training_losses(self, content):
        raise AssertionError("is not asked for")

    def ema_pairs(self):
        return ()

    def parameter_groups(self):
        return ()


@pytest.fixture
def task(tmp_path, monkeypatch):
    """The page's file, found in a folder that is read as if it were that of tasks."""
    ((name, text),) = BLOCK.findall(PAGE.read_text())
    file = tmp_path / Path(name).name
    file.write_text(text)
    folder = ModuleType(tasks.__name__)
    folder.__file__ = str(tmp_path / "__init__.py")
    monkeypatch.setattr(tasks, "__path__", [*tasks.__path__, str(tmp_path)])
    assert importlib.util.find_spec(f"{tasks.__name__}.{file.stem}") is not None
    return component_configs(folder, prefix="")[file.stem]


def test_the_task_measures_what_it_says_and_is_shown(task, monkeypatch, tmp_path):
    recipe = load_recipe("demo")
    colours = torch.tensor([[255, 0, 0], [0, 255, 0]], dtype=torch.uint8)
    pixels = colours[:, None, None, None].expand(2, 4, 8, 8, 3)
    content = Clips(pixels=pixels, samples=(0, 1))
    monkeypatch.setattr(type(recipe.data), "held_out_content", lambda *_: content)
    subject = Subject(
        method="m", trained=Pixels(), untrained=Pixels(), preparation=None, data=recipe.data,
        run_dir=tmp_path,
    )  # fmt: skip
    one = task()
    assert isinstance(one, Task)
    found = one.run(subject)
    (number,) = found.numbers
    assert number.trained.mean == pytest.approx(1.0)
    assert number.baselines["same token of another clip"].mean == pytest.approx(0.0)
    machine = Machine(processor="", num_cores=1, device="", versions={})
    measured = Measurement(
        task=one.name, settings={}, step=1, result=found, machine=machine, seconds=0.0
    )
    page = render_report(EvaluationResult(name="x", measurements=(measured,)), tmp_path)
    assert "<h2>Next tubelet cosine</h2>" in page
