"""Chapter: clusters of latents as states, and which follows which."""

import numpy as np
from sklearn.cluster import KMeans

from worldmodel_train.cartography.tiling import tubelet_frames
from worldmodel_train.cartography.transitions import (
    moves,
    predictability,
    transition_counts,
    transition_shares,
)
from worldmodel_train.evaluation.atlas.drawing import transition_graph
from worldmodel_train.evaluation.atlas.page import Chapter, Plate
from worldmodel_train.evaluation.atlas.subject import Material, main_plane
from worldmodel_train.evaluation.atlas.tubelets import mean_of_moments
from worldmodel_train.evaluation.task_result import Column, Row, Table, once
from worldmodel_train.types import TokenGrid


def transition_chapter(material: Material) -> Chapter:
    """A graph of the states that the scene with one thing goes through, and how predictable."""
    name, filmed = next(iter(material.filmed.items()))
    latents = mean_of_moments(filmed.trained)
    flat = latents.reshape(-1, latents.shape[2])
    clusters = KMeans(min(material.effort.states, len(flat)), random_state=0)
    states = clusters.fit_predict(flat).reshape(latents.shape[:2])
    counts = transition_counts(states, clusters.n_clusters)
    mixed = np.random.default_rng(0).permutation(states.ravel()).reshape(states.shape)
    by_chance = transition_counts(mixed, clusters.n_clusters)
    plane, mean = main_plane(flat)
    grid = TokenGrid(*filmed.trained.shape[1:4])
    frames = tubelet_frames(filmed.films.clips, grid).flatten(0, 1).numpy()
    nearest = clusters.transform(flat).argmin(axis=0)
    graph = transition_graph(
        (clusters.cluster_centers_ - mean) @ plane,
        transition_shares(moves(counts)),
        [frames[place] for place in nearest],
    )
    rows = {"films": counts, "moments in any order": by_chance}
    stays = float(np.trace(counts) / max(counts.sum(), 1))
    return Chapter(
        title="What follows what",
        text=f"Mean latents of tubelets (films of {name}) in {clusters.n_clusters} clusters "
        "(k-means). An arrow leads to a state that follows in at least 15 % of the moves, broader "
        f"where oftener; {100 * stays:.0f} % of all steps stay where they are and are not drawn. "
        "Each state is shown by the moment nearest to its middle. To beat: the same clusters "
        "with all moments in any order; each is fitted and scored on the same steps. A state that "
        "is the film's background or screen rather than what moves tends to stay: high shares in "
        "the first column with low ones in the second say that clusters tell films apart, not "
        "moments.",
        tables=(
            Table(
                caption="How often the most frequent follower is the right one.",
                corner="order",
                columns=(
                    Column(name="of all steps", unit="percent"),
                    Column(name="of those that move", unit="percent"),
                ),
                rows=tuple(
                    Row(
                        name=order,
                        cells=(once(predictability(found)), once(predictability(moves(found)))),
                    )
                    for order, found in rows.items()
                ),
            ),
        ),
        plates=(Plate(title="states and moves", png=graph),),
    )
