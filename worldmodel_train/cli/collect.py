"""`wmt data collect`: episodes of a world, acted out by any policy."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from worldmodel_train.cli.shard_commands import (
    OutArgument,
    WorkersOption,
    cores,
    counting,
    one_line_errors,
)
from worldmodel_train.config.printable import printable

if TYPE_CHECKING:
    from worldmodel_train.collection.disagreement import Choice
    from worldmodel_train.collection.made_of import MadeOf
    from worldmodel_train.collection.policies import PolicyOf
    from worldmodel_train.collection.workers import Actor
    from worldmodel_train.collection.world import World

_USUAL_CANDIDATES = 4

EnvArgument = Annotated[
    str, typer.Argument(metavar="ENV", help="envs/two_rooms, or an id of gymnasium: Pendulum-v1.")
]
PolicyOption = Annotated[
    str,
    typer.Option(help="random, walk (random actions that last), scripted, or a run that acts."),
]
ExploreOption = Annotated[
    bool, typer.Option("--explore", help="A run acts so as to learn more, not as well as it can.")
]
SeeOption = Annotated[
    Literal["pixels", "vector"],
    typer.Option(help="What episodes observe; beside pixels the vector is kept as states."),
]
ChosenByOption = Annotated[
    str | None,
    typer.Option(
        metavar="RUN",
        help="Keep of several candidates the one on which an ensemble, fitted to the episodes of "
        "this run on its frozen encoder, disagrees most.",
    ),
]
CandidatesOption = Annotated[
    int | None,
    typer.Option(min=2, help="Episodes acted out for each that is kept.", show_default="4"),
]
WorldOption = Annotated[
    list[str] | None,
    typer.Option("--world", metavar="KEY=VALUE", help="What the world's maker takes; repeatable."),
]


def collect(  # noqa: PLR0913 - one parameter for each option of the command line
    env: EnvArgument,
    out: OutArgument,
    *,
    policy: PolicyOption = "random",
    explore: ExploreOption = False,
    chosen_by: ChosenByOption = None,
    candidates: CandidatesOption = None,
    episodes: Annotated[int, typer.Option(min=1, help="Episodes in all.")] = 100,
    seed: Annotated[int, typer.Option(min=0, help="Of all that is drawn.")] = 0,
    longest: Annotated[int, typer.Option(min=1, help="Cut after so many actions.")] = 1000,
    see: SeeOption = "pixels",
    size: Annotated[int, typer.Option(min=8, help="Height and width of the pixels.")] = 64,
    world: WorldOption = None,
    workers: WorkersOption = cores(),  # noqa: B008 - the cores of this machine, once
    timeout: Annotated[
        float, typer.Option(min=1.0, help="Give up after so many seconds without a step.")
    ] = 120.0,
) -> None:
    """Act episodes out and write them as shards; the same command again goes on where it was cut.

    Episode k hangs on the seed and k alone. With more --episodes a finished folder grows.
    """
    from functools import partial

    from worldmodel_train.collection.collect import collect as fill
    from worldmodel_train.collection.workers import Actor, in_workers
    from worldmodel_train.collection.world import View

    acts = _policy(policy, explore=explore)
    actor = Actor(
        env=env,
        view=View(see=see, size=size),
        policy=acts.policy,
        seed=seed,
        longest=longest,
        options=_options(world),
    )
    actor, made_of = _chosen(actor, acts, chosen_by, candidates)
    with one_line_errors(out), counting("episodes", episodes) as tell:
        act_out = partial(in_workers, actor, workers=workers, timeout_s=timeout)
        kept = fill(out, made_of, episodes=episodes, act_out=act_out, tell=tell)
    before = f", {kept} of which were there" if kept else ""
    typer.echo(f"{printable(out)}: {episodes} episodes of {printable(env)}{before}")


def _options(given: list[str] | None) -> dict[str, Any]:
    from worldmodel_train.config.origins import Document
    from worldmodel_train.config.overrides import apply_overrides

    return apply_overrides(Document(values={}), given or []).values


@dataclass(frozen=True, kw_only=True)
class _Acts:
    """What acts."""

    policy: "PolicyOf"
    named: str
    """By its name or checkpoint."""
    weights: str | None = None
    """Their digest."""
    explores: bool = False


def _policy(policy: str, *, explore: bool) -> _Acts:
    from worldmodel_train.collection.policies import NAMED
    from worldmodel_train.training.checkpoints.folder import find_checkpoint

    if policy in NAMED:
        if explore:
            raise ValueError(f"--explore is for a run, and --policy {policy} is none; leave it out")
        return _Acts(policy=NAMED[policy], named=policy)
    if not Path(policy).exists():
        raise ValueError(f"--policy {policy} is no run; use {', '.join(NAMED)}, or a run that acts")
    from worldmodel_train.cli.run_policy import RunPolicy

    checkpoint = find_checkpoint(Path(policy), "--policy")
    of_run = RunPolicy(checkpoint=checkpoint, explore=explore)
    weights = of_run.frozen().fingerprint
    return _Acts(policy=of_run, named=str(checkpoint), weights=weights, explores=explore)


def _chosen(
    actor: "Actor", acts: _Acts, chosen_by: str | None, candidates: int | None
) -> "tuple[Actor, MadeOf]":
    """The actor whose episodes are chosen so, and what decides all of one."""
    from worldmodel_train.collection.made_of import MadeOf

    choice, run, digest = _choice(chosen_by, candidates, actor.open())
    made_of = MadeOf(
        env=actor.env,
        options=dict(actor.options),
        see=actor.view.see,
        size=actor.view.size if actor.view.see == "pixels" else None,
        policy=acts.named,
        explores=acts.explores,
        weights=acts.weights,
        chosen_by=run,
        judge=digest,
        candidates=1 if choice is None else choice.candidates,
        seed=actor.seed,
        longest=actor.longest,
        per_shard=100,
    )
    return replace(actor, choice=choice), made_of


def _choice(
    chosen_by: str | None, candidates: int | None, world: "World"
) -> "tuple[Choice | None, str | None, str | None]":
    """How episodes are chosen, by which checkpoint, and the digest of what decides it."""
    if chosen_by is None:
        if candidates is not None:
            raise ValueError(
                f"--candidates {candidates} are for --chosen-by RUN; give that, or leave them out"
            )
        return None, None, None
    from worldmodel_train.cli.run_judge import KEY, fitted_judge
    from worldmodel_train.collection.disagreement import Choice
    from worldmodel_train.training.checkpoints.folder import find_checkpoint

    checkpoint = find_checkpoint(Path(chosen_by), KEY)
    judge, digest = fitted_judge(checkpoint, world)
    choice = Choice(candidates=candidates or _USUAL_CANDIDATES, judge_of=judge)
    return choice, str(checkpoint), digest
