import json
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from worldmodel_train.evaluation.config import EvaluationConfig

from worldmodel_train.evaluation.evaluate import evaluate
from worldmodel_train.evaluation.frozen import Contestants
from worldmodel_train.evaluation.report import write_report
from worldmodel_train.evaluation.result import load_result, save_result


def _written(result, run_dir):
    return write_report(result, run_dir).read_text(encoding="utf-8")


def _evaluated(patch_means, held_out, sampler, run_dir):
    models = Contestants(
        name="tiny", trained=patch_means(error=0.05), untrained=patch_means(error=0.9, seed=1)
    )
    config = EvaluationConfig(mask_seeds=(0, 1), picture_clips=2, neighbours=2)
    lines = [{"step": step, "loss": 1 / step, "lr": 1e-3} for step in (1, 2, 3)]
    (run_dir / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (run_dir / "recipe.yaml").write_text("name: tiny  # <from a stranger>\n")
    return evaluate(models, held_out, [sampler], config, run_dir)


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


def test_a_run_that_failed_is_called_so(result, tmp_path):
    swapped = result.model_copy(
        update={"trained": result.untrained.model_copy(update={"rankme": 2.0})}
    )
    text = _written(swapped, tmp_path)
    assert "It did not learn to predict." in text
    assert "The latents collapsed." in text


def test_names_are_escaped(result, tmp_path):
    text = _written(result, tmp_path)
    assert "<script" not in text
    assert "run &lt;script&gt;alert(1)&lt;/script&gt; &amp; co" in text
    assert "num_blocks=4 &lt;b&gt;" in text


def test_the_report_needs_nothing_from_outside(patch_means, held_out, sampler, tmp_path):
    result = _evaluated(patch_means, held_out, sampler, tmp_path)
    text = _written(result, tmp_path)
    sources = re.findall(r'(?:src|href)="([^"#][^"]*)"', text)
    assert sources
    assert all(source.startswith("data:") for source in sources)
    assert "url(http" not in text
    assert "@import" not in text
    assert "&lt;from a stranger&gt;" in text


def test_evaluation_writes_its_pictures_below_the_run_whatever_the_keys(
    patch_means, held_out, sampler, tmp_path
):
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    result = _evaluated(patch_means, held_out, sampler, run_dir)
    assert {picture.kind for picture in result.pictures} == {"masks", "features", "neighbours"}
    assert all((run_dir / picture.file).is_file() for picture in result.pictures)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    assert load_result(run_dir) == result


def test_evaluating_twice_gives_the_same_numbers_and_pictures(
    patch_means, held_out, sampler, tmp_path
):
    first = _evaluated(patch_means, held_out, sampler, tmp_path)
    images = {p.file: (tmp_path / p.file).read_bytes() for p in first.pictures}
    again = _evaluated(patch_means, held_out, sampler, tmp_path)
    assert first.model_copy(update={"seconds": 0}) == again.model_copy(update={"seconds": 0})
    assert images == {p.file: (tmp_path / p.file).read_bytes() for p in again.pictures}


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
def test_chromium_shows_the_report_without_a_request_or_an_error(
    patch_means, held_out, sampler, result, tmp_path
):
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no chromium on PATH")
    evaluated = _evaluated(patch_means, held_out, sampler, tmp_path)
    page = write_report(evaluated.model_copy(update={"probes": result.probes}), tmp_path)
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
    assert elements.headings == [
        "Prediction of hidden latents",
        "Spread of the latents",
        "Probes on pen strokes",
        "Training curves",
        "What is seen and what is predicted",
        "Features as colours",
        "Nearest clips",
        "How to reproduce",
    ]
    assert elements.tags.count("img") == len(evaluated.pictures)
    assert elements.tags.count("svg") == 3
    assert _hosts_asked_by_page(net_log.read_text()) == set()


def _hosts_asked_by_page(net_log):
    """Hosts of requests other than those that the browser makes for itself."""
    hosts = set(re.findall(r'"url":"https?://([^/"]+)', net_log))
    return {host for host in hosts if not re.search(r"(google|googleapis|gvt1)\.com$", host)}


def test_hostile_labels_are_escaped_short_and_written(patch_means, held_out, sampler, tmp_path):
    labels = ("</figcaption><script>", "\ud83d", "x" * 900_000, *("\x1b[31m",) * 4)
    result = _evaluated(patch_means, replace(held_out, labels=labels), sampler, tmp_path)
    save_result(result, tmp_path)
    text = _written(result, tmp_path)
    assert "<script" not in text
    assert "\x1b" not in text
    assert load_result(tmp_path) == result
    assert max(len(picture.title) for picture in result.pictures) <= 80
