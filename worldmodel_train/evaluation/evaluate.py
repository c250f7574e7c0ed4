"""Everything that is measured after training, from objects to `evaluation.json`."""

import time
from collections.abc import Sequence
from pathlib import Path

from worldmodel_train.data.fixed import FixedClips
from worldmodel_train.evaluation.config import EvaluationConfig
from worldmodel_train.evaluation.frozen import Contestants, device_of
from worldmodel_train.evaluation.latents import measure_latents
from worldmodel_train.evaluation.machine import describe_machine
from worldmodel_train.evaluation.pen_strokes import probe_pen_strokes
from worldmodel_train.evaluation.pictures import Album
from worldmodel_train.evaluation.result import EvaluationResult, save_result
from worldmodel_train.protocols import MaskSampler


def evaluate(
    models: Contestants,
    held_out: FixedClips,
    masks: Sequence[MaskSampler],
    config: EvaluationConfig,
    run_dir: Path,
) -> EvaluationResult:
    """The numbers of `models` on `held_out`; pictures and `evaluation.json` are in `run_dir`."""
    if len(held_out.clips) < 2:
        raise ValueError(
            f"data.held_out gave {len(held_out.clips)} clips; evaluation needs at least 2"
        )
    start = time.monotonic()
    trained, untrained, clips = models.trained, models.untrained, held_out.clips
    album = Album(held_out=held_out, config=config, run_dir=run_dir)
    result = EvaluationResult(
        name=models.name,
        num_clips=len(clips),
        num_videos=len(set(held_out.keys)),
        mask_seeds=config.mask_seeds,
        mask_groups=tuple(str(sampler) for sampler in masks),
        trained=measure_latents(trained, held_out, masks, config),
        untrained=measure_latents(untrained, held_out, masks, config),
        probes=config.probes and probe_pen_strokes(models, clips, config),
        pictures=(
            *album.masks(trained, masks),
            *album.features(models),
            *album.neighbours(models),
        ),
        machine=describe_machine(device_of(trained)),
        seconds=time.monotonic() - start,
    )
    save_result(result, run_dir)
    return result
