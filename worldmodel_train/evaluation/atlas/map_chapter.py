"""Chapter: clips as points on a plane, coloured by what is known of them."""

import numpy as np

from worldmodel_train.evaluation.atlas.drawing import scatter
from worldmodel_train.evaluation.atlas.page import Chapter, Plate
from worldmodel_train.evaluation.atlas.subject import Material, main_plane
from worldmodel_train.evaluation.atlas.tubelets import mean_of_moments


def map_chapter(material: Material) -> Chapter:
    """A picture of where clips come from, then one for each known state."""
    latents = {name: mean_of_moments(one.trained) for name, one in material.filmed.items()}
    groups = [*latents.values(), mean_of_moments(material.own)]
    points = np.concatenate([group.reshape(-1, group.shape[2]) for group in groups])
    plane, mean = main_plane(points)
    variance = ((points - mean) @ plane).var(axis=0).sum() / (points - mean).var(axis=0).sum()
    origin = np.repeat(range(len(groups)), [group.shape[0] * group.shape[1] for group in groups])
    legend = [*latents, "the run's own clips"]
    plates = [Plate(title="origin", png=scatter((points - mean) @ plane, origin, legend=legend))]
    for name, filmed in material.filmed.items():
        here, centre = main_plane(latents[name].reshape(-1, len(plane)))
        placed = (latents[name].reshape(-1, len(plane)) - centre) @ here
        for state in filmed.films.states:
            values = state.values if state.values.ndim == 2 else state.values[..., 0]
            title = state.name if state.values.ndim == 2 else f"{state.name}, x"
            plates.append(Plate(title=f"{title} ({name})", png=scatter(placed, values.ravel())))
    return Chapter(
        title="Map",
        text="Each point is a tubelet's mean latent, placed by its two main directions (PCA; in "
        "the first picture of all clips, in the others of that scene's films). These two "
        f"hold {100 * variance:.0f} % of the variance of all clips, so what does not show here may "
        "still be in the latents: the table above tells. Events are yellow where they are so; "
        "classes are numbered. Baseline: colours that are mixed evenly say nothing of the state.",
        plates=tuple(plates),
    )
