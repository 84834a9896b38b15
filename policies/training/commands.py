"""`valueagents train`: thin; what a command needs is imported when it runs."""

from pathlib import Path
from typing import Annotated

import typer

from valueagents.cli.tables import print_json

app = typer.Typer(
    help="Train a value into a model, or export what was trained.", no_args_is_help=True
)


@app.command()
def survey(
    base: Annotated[
        str, typer.Option(help="The model: smollm2-135m (embedded), a folder, or a hub id.")
    ],
    target: Annotated[str, typer.Option(help="The value to move, e.g. HED.")],
    direction: Annotated[
        str, typer.Option(help="down, up, or control (everything stays at its baseline).")
    ],
    out: Annotated[
        Path, typer.Option(help="Folder of the adapter; an unfinished training in it is continued.")
    ],
    seed: Annotated[int, typer.Option(help="Seed of the matrices and of the order of rows.")] = 0,
    preset: Annotated[str, typer.Option(help="quick, restudy or paper.")] = "quick",
    method: Annotated[
        str, typer.Option(help="sft, or with trl: dpo, ipo, kto, orpo, simpo.")
    ] = "sft",
    items: Annotated[
        str | None, typer.Option(help="A survey file of yours; default: the bundled one.")
    ] = None,
    override: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Another value for a preset's setting."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Train an adapter that answers one value's survey statements lower or higher."""
    from valueagents.policies.training.labels import survey_spec
    from valueagents.policies.training.survey import plan_training, train_survey
    from valueagents.running.progress import show_progress

    training = plan_training(
        base=base,
        target=target,
        direction=direction,
        seed=seed,
        preset=preset,
        method=method,
        items=items,
        overrides=_pairs(override or []),
    )
    manifest = train_survey(training, out, show=show_progress)
    if as_json:
        print_json(manifest)
        return
    memory = f"{manifest.peak_memory_bytes / 1e9:.1f} GB"
    print(
        f"{out}: adapter {manifest.adapter}, {manifest.wall_s:.0f} s in the loop, {memory} at most"
    )
    for epoch, loss in enumerate(manifest.losses.eval, 1):
        print(
            f"epoch {epoch}: eval loss"
            f" {loss:.4f}{'  (kept)' if epoch - 1 == manifest.best_epoch else ''}"
        )
    print(
        "Next: valueagents run --env valueagents/Survey-v0 --policy"
        f" '{survey_spec(base, str(out))}' --out …"
    )


@app.command()
def merge(
    adapter: Annotated[Path, typer.Argument(help="Folder of an adapter.")],
    out: Annotated[Path, typer.Option(help="Folder of the merged model.")],
    base: Annotated[
        str | None, typer.Option(help="Its base model; default: the one in its manifest.")
    ] = None,
    dtype: Annotated[str, typer.Option(help="float32, bfloat16 or float16.")] = "float32",
) -> None:
    """Write base and adapter as one plain model."""
    from valueagents.policies.training.merge import merge_adapter

    print(
        f"{merge_adapter(adapter, out, base=base, dtype=dtype)}: usable as a model, e.g."
        f" transformers:{out}"
    )


def _pairs(options: list[str]) -> dict[str, str]:
    from valueagents.errors import ConfigError

    pairs = {}
    for option in options:
        name, equals, value = option.partition("=")
        if not equals or not name:
            raise ConfigError(f"--set {option!r}: write NAME=VALUE")
        pairs[name] = value
    return pairs
