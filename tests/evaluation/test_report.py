import json
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from worldmodel_train.config.components import component_configs
from worldmodel_train.data.config import DataConfig
from worldmodel_train.evaluation import tasks
from worldmodel_train.evaluation.evaluate import evaluate
from worldmodel_train.evaluation.latents.latent_result import latent_result
from worldmodel_train.evaluation.report import write_report
from worldmodel_train.evaluation.result import EvaluationResult, load_result, save_result
from worldmodel_train.evaluation.task_result import TaskResult

Config = component_configs(tasks, prefix="")["latent_prediction"]


def _written(result, run_dir):
    return write_report(result, run_dir).read_text(encoding="utf-8")


@pytest.fixture
def evaluated(patch_means, subject):
    """Measures latents of a tiny run that has metrics and a recipe."""

    def measure():
        models = subject(patch_means(error=0.05), patch_means(error=0.9, seed=1))
        lines = [{"step": step, "loss": 1 / step, "lr": 1e-3} for step in (1, 2, 3)]
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (models.run_dir / "metrics.jsonl").write_text(text)
        (models.run_dir / "recipe.yaml").write_text("name: tiny  # <from a stranger>\n")
        task = Config(mask_seeds=(0, 1), picture_clips=2, neighbours=2)
        found = tuple(evaluate(models, [task], step=3))
        return EvaluationResult(name="tiny", measurements=found)

    return measure


def _pictures(result):
    galleries = [one for found in result.measurements for one in found.result.galleries]
    return [picture for gallery in galleries for picture in gallery.pictures]


def test_the_head_says_what_the_run_warned_of(result, tmp_path):
    line = {"step": 40, "loss": 0.1, "alarms": {"loss_spike": "jumped <b>: 9, lately 1"}}
    (tmp_path / "metrics.jsonl").write_text(json.dumps(line) + "\n")
    head, _ = _written(result, tmp_path).split("</header>")
    assert "at step 40: loss spike" in head
    assert "jumped &lt;b&gt;: 9, lately 1" in head


def test_the_report_names_the_numbers_of_the_result(result, tmp_path):
    text = _written(result, tmp_path)
    for number in (
        "0.190 ± 0.004",
        "\N{MINUS SIGN}0.100 ± 0.014",
        "15.5",
        "20.5",
        "0.756",
        "0.432",
        "60.0 %",
    ):
        assert number in text, number
    assert "It learned to predict." in text
    assert "The latents did not collapse." in text


def test_a_run_that_failed_is_called_so(compared, measurement, tmp_path):
    failed = replace(compared, trained=compared.untrained.model_copy(update={"rankme": 2.0}))
    found = latent_result(failed, num_clips=2, num_videos=1, mask_groups=["all"])
    result = EvaluationResult(name="x", measurements=(measurement("latent_prediction", found),))
    text = _written(result, tmp_path)
    assert "It did not learn to predict." in text
    assert "The latents collapsed." in text


def test_a_task_without_sections_has_a_table_of_its_numbers(result, measurement, tmp_path):
    found = TaskResult(measured_on="2 <i>", numbers=result.measurements[1].result.numbers)
    result = EvaluationResult(name="x", measurements=(measurement("some_task", found),))
    text = _written(result, tmp_path)
    assert "<h2>Some task</h2>" in text
    assert "character, k-NN, mean" in text
    assert "30.0 %" in text
    assert "measured on 2 &lt;i&gt;." in text


def test_names_are_escaped(result, tmp_path):
    text = _written(result, tmp_path)
    assert "<script" not in text
    assert "run &lt;script&gt;alert(1)&lt;/script&gt; &amp; co" in text
    assert "num_blocks=4 &lt;b&gt;" in text


def test_the_report_needs_nothing_from_outside(evaluated, tmp_path):
    text = _written(evaluated(), tmp_path)
    sources = re.findall(r'(?:src|href)="([^"#][^"]*)"', text)
    assert sources
    assert all(source.startswith("data:") for source in sources)
    assert "url(http" not in text
    assert "@import" not in text
    assert "&lt;from a stranger&gt;" in text


def test_sections_come_before_curves_and_pictures_after(evaluated, tmp_path):
    elements = _Elements()
    elements.feed(_written(evaluated(), tmp_path))
    assert elements.headings == HEADINGS
    assert elements.tags.count("img") == 2 + 1 + 2
    assert elements.tags.count("svg") == 1 + 2


def test_evaluation_writes_its_pictures_below_the_run_whatever_the_keys(evaluated, tmp_path):
    result = evaluated()
    save_result(result, tmp_path)
    assert len(_pictures(result)) == 1 + 2 + 2
    assert all((tmp_path / picture.file).is_file() for picture in _pictures(result))
    assert {path.name for path in tmp_path.iterdir()} == {
        "evaluation", "evaluation.json", "metrics.jsonl", "recipe.yaml",
    }  # fmt: skip
    assert load_result(tmp_path) == result


def test_evaluating_twice_gives_the_same_numbers_and_pictures(evaluated, tmp_path):
    first = evaluated()
    images = {p.file: (tmp_path / p.file).read_bytes() for p in _pictures(first)}
    again = evaluated()
    assert [one.result for one in first.measurements] == [one.result for one in again.measurements]
    assert images == {p.file: (tmp_path / p.file).read_bytes() for p in _pictures(again)}
    assert first.measurements[0].settings["mask_seeds"] == [0, 1]
    assert first.measurements[0].step == 3


HEADINGS = [
    "Prediction of hidden latents",
    "Spread of the latents",
    "Training curves",
    "What is seen and what is predicted",
    "Features as colours",
    "Nearest clips",
    "How to reproduce",
]


class _Elements(HTMLParser):
    """Headings by their text, and how many elements of each tag there are."""

    def __init__(self):
        super().__init__()
        self.headings, self.tags, self._heading = [], [], False

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self._heading = tag == "h2"

    def handle_data(self, data):
        if self._heading:
            self.headings.append(data)
        self._heading = False


@pytest.mark.slow
def test_chromium_shows_the_report_without_a_request_or_an_error(evaluated, tmp_path):
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no chromium on PATH")
    page = write_report(evaluated(), tmp_path)
    net_log = tmp_path / "net.json"
    shown = subprocess.run(
        [
            chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
            "--no-first-run", "--disable-background-networking", "--disable-component-update",
            "--disable-sync", "--enable-logging=stderr", f"--user-data-dir={tmp_path / 'profile'}",
            f"--log-net-log={net_log}", "--dump-dom", page.as_uri(),
        ],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert "CONSOLE" not in shown.stderr
    elements = _Elements()
    elements.feed(shown.stdout)
    assert elements.headings == HEADINGS
    assert _hosts_asked_by_page(net_log.read_text()) == set()


def _hosts_asked_by_page(net_log):
    """Hosts of requests other than those that the browser makes for itself."""
    hosts = set(re.findall(r'"url":"https?://([^/"]+)', net_log))
    return {host for host in hosts if not re.search(r"(google|googleapis|gvt1)\.com$", host)}


def test_hostile_labels_are_escaped_short_and_written(evaluated, held_out, monkeypatch, tmp_path):
    labels = ("</figcaption><script>", "\ud83d", "x" * 900_000, *("\x1b[31m",) * 4)
    hostile = replace(held_out, labels=labels)
    monkeypatch.setattr(DataConfig, "held_out_clips", lambda *_, **__: hostile)
    result = evaluated()
    save_result(result, tmp_path)
    text = _written(result, tmp_path)
    assert "<script" not in text
    assert "\x1b" not in text
    assert load_result(tmp_path) == result
    assert max(len(picture.title) for picture in _pictures(result)) <= 80
