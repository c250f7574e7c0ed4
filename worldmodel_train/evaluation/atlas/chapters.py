"""The chapters of an atlas, in the order of what they are worth."""

from worldmodel_train.evaluation.atlas.feature_chapter import (
    curve_chapter,
    feature_chapter,
    find_features,
)
from worldmodel_train.evaluation.atlas.intervention_chapter import intervention_chapter
from worldmodel_train.evaluation.atlas.map_chapter import map_chapter
from worldmodel_train.evaluation.atlas.page import Chapter
from worldmodel_train.evaluation.atlas.probe_chapter import probe_chapter
from worldmodel_train.evaluation.atlas.subject import Material
from worldmodel_train.evaluation.atlas.transition_chapter import transition_chapter


def chapters(material: Material) -> list[Chapter]:
    """Each of them."""
    features = find_features(material)
    return [
        probe_chapter(material),
        map_chapter(material),
        feature_chapter(material, features),
        curve_chapter(material, features),
        intervention_chapter(material),
        transition_chapter(material),
    ]
