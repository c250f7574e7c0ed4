"""The commands of `wmt`. Heavy imports wait until a command needs them."""

import typer

from worldmodel_train.cli import atlas, checkpoints, data, evaluation, plan, pretrain, show

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Pretrain world models on video.",
)
app.command("pretrain")(pretrain.pretrain)
app.command("eval")(evaluation.eval_)
app.command("report")(evaluation.report)
app.command("compare")(evaluation.compare)
app.command("plan")(plan.plan)
app.command("atlas")(atlas.atlas)
app.command("show")(show.show)
app.command("schema")(show.schema)
app.command("import")(checkpoints.import_)
app.command("export")(checkpoints.export)
app.add_typer(data.app, name="data", help="Shards: of videos, episodes or latents.")
