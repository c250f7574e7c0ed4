"""Checkpoints of other code bases, in and out: Hugging Face transformers and Meta's releases."""

from worldmodel_train.interop.exporting import (
    ExportReport,
    Layout,
    export_checkpoint,
    export_merged,
)
from worldmodel_train.interop.importing import ImportReport, import_checkpoint
from worldmodel_train.interop.merged import SUFFIX, import_merged
from worldmodel_train.interop.method_of_config import clip_of_config, method_of_config
from worldmodel_train.interop.motion import export_motion, import_motion, motion_parts
from worldmodel_train.interop.objective_parts import ALL_PARTS, ENCODERS, Part
from worldmodel_train.interop.optimizer_state import ImportedMoments, import_moments
from worldmodel_train.interop.position_table import ClipSize
from worldmodel_train.models.strict_state import CheckpointError

__all__ = [
    "ALL_PARTS",
    "ENCODERS",
    "SUFFIX",
    "CheckpointError",
    "ClipSize",
    "ExportReport",
    "ImportReport",
    "ImportedMoments",
    "Layout",
    "Part",
    "clip_of_config",
    "export_checkpoint",
    "export_merged",
    "export_motion",
    "import_checkpoint",
    "import_merged",
    "import_moments",
    "import_motion",
    "method_of_config",
    "motion_parts",
]
