"""The chapters of an atlas, in the order of what they are worth."""

from worldmodel_train.evaluation.atlas.map_chapter import map_chapter
from worldmodel_train.evaluation.atlas.page import Chapter
from worldmodel_train.evaluation.atlas.probe_chapter import probe_chapter
from worldmodel_train.evaluation.atlas.subject import Material


def chapters(material: Material) -> list[Chapter]:
    """Each of them."""
    return [probe_chapter(material), map_chapter(material)]
