"""A tiny encoder that is fine-tuned on random clips, and a program that trains it many times over.

Like `vjepa_run`, whose encoder it begins from.
"""

import dataclasses
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from tests.training import toy_run as toy
from worldmodel_train.batch import Batch, Origin
from worldmodel_train.facts import ClipShape, DataFacts, SourceFacts
from worldmodel_train.jepa.vjepa import Config as JepaConfig
from worldmodel_train.models.frozen import FrozenPart, PartConfig
from worldmodel_train.probes.finetuned import Config, FinetunedClassifier
from worldmodel_train.training.optim import OptimConfig
from worldmodel_train.training.run import pretrain
from worldmodel_train.training.run_spec import RunSpec
from worldmodel_train.types import Clips

CLASSES = ("first", "second", "third")
SHAPE = ClipShape(4, 32, 32)


def build(seed: int = 1) -> FinetunedClassifier:
    """Begins from the encoder that this seed draws."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        part = FrozenPart(JepaConfig.tiny().encoder.build(), origin="a tiny encoder")
    source = SourceFacts(key=("data", "sources", 0), clip=SHAPE, share=1.0)
    held = PartConfig(checkpoint=Path("nowhere"), part="target_encoder")
    data = DataFacts(sources=(source,), classes=CLASSES)
    return Config(encoder=held, layer_decay=0.5).build(data, encoder=part)


def clips(first: int, count: int) -> Clips:
    """Random clips and labels that depend on their sample numbers."""
    generator = torch.Generator().manual_seed(first)
    pixels = torch.randint(256, (count, *SHAPE, 3), generator=generator, dtype=torch.uint8)
    samples = range(first, first + count)
    labels = torch.tensor([sample % len(CLASSES) for sample in samples])
    return Clips(pixels=pixels, samples=tuple(samples), labels=labels)


def parts(run_dir: Path, **options: Any) -> RunSpec:
    """Parts of a run; `kill` is the step at which the first rank sends itself a SIGTERM."""
    kill, seed = options.pop("kill", None), options.pop("encoder", 1)
    optim = OptimConfig.model_validate(toy.OPTIM | {"ema": None})
    spec = toy.toy_parts(run_dir, objective=lambda: build(seed), optim=optim, **options)
    micro_batch, global_batch = spec.train.micro_batch, spec.train.global_batch

    def loader(
        *, rank: int, world_size: int, first_step: int, streams: object
    ) -> Iterator[Batch[Clips]]:
        step, together = first_step, micro_batch * world_size
        while True:
            if step == kill and rank == 0:
                signal.raise_signal(signal.SIGTERM)
            for part in range(step * global_batch, (step + 1) * global_batch, together):
                first = part + rank * micro_batch
                content = clips(first, micro_batch)
                yield Batch(content=content, origin=Origin(first_sample=first))
            step += 1

    return dataclasses.replace(spec, build_loader=loader)


def main(runs: list[dict[str, Any]]) -> None:
    """Trains each run; those that end early are meant to."""
    for options in runs:
        result = pretrain(parts(Path(options.pop("run_dir")), **options))
        assert result.exit_code in (0, 143), result
