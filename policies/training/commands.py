"""`valueagents train`: thin; what a command needs is imported when it runs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from valueagents.cli.options import seed_option
from valueagents.cli.tables import print_json

if TYPE_CHECKING:
    from valueagents.policies.training.manifest import Manifest

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
        str,
        typer.Option(
            help="down, up, control (all stay at their baseline; --target all: of no value), or"
            " placebo-down, placebo-up (as many statements of the other values)."
        ),
    ],
    out: Annotated[
        Path, typer.Option(help="Folder of the adapter; an unfinished training in it is continued.")
    ],
    seed: Annotated[int, seed_option("the matrices and of the order of rows")] = 0,
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
        overrides=_pairs(override or [], "--set"),
    )
    manifest = train_survey(training, out, show=show_progress)
    _tell(manifest, out, as_json=as_json)
    if not as_json:
        print(
            "Next: valueagents run --env valueagents/Survey-v0 --policy"
            f" '{survey_spec(base, str(out))}' --out …"
        )


@app.command()
def choices(
    base: Annotated[
        str, typer.Option(help="The model: smollm2-135m (embedded), a folder, or a hub id.")
    ],
    target: Annotated[str, typer.Option(help="The value whose choices are trained, e.g. HED.")],
    direction: Annotated[
        str, typer.Option(help="up (what serves it), down (what violates it), or control.")
    ],
    out: Annotated[
        Path, typer.Option(help="Folder of the adapter; an unfinished training in it is continued.")
    ],
    env: Annotated[
        str | None, typer.Option(help="An env that lists its menus, e.g. valueagents/Dilemma-v0.")
    ] = None,
    env_option: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="An option of the env.")
    ] = None,
    menus: Annotated[
        list[str] | None,
        typer.Option(help="Instead of an env: run directories, or one pool; may be repeated."),
    ] = None,
    decisions: Annotated[
        int, typer.Option(min=3, help="Of runs at most this many situations.")
    ] = 1000,
    shares: Annotated[
        str, typer.Option(help="Shares of the items for train and eval; the rest is held out.")
    ] = "0.4,0.1",
    split_seed: Annotated[int, seed_option("the split")] = 0,
    history: Annotated[
        int | None, typer.Option(min=1, help="At most this many earlier turns are shown.")
    ] = None,
    seed: Annotated[int, seed_option("the matrices and of the order of rows")] = 0,
    preset: Annotated[str, typer.Option(help="A preset of settings.")] = "choices",
    override: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Another value for a preset's setting."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Train an adapter that takes what serves or violates a value: a positive control."""
    from valueagents.policies.training.choices import MenuSource, plan_choices, train_choices
    from valueagents.policies.training.menus import FOLDER
    from valueagents.running.progress import show_progress

    training = plan_choices(
        base=base,
        target=target,
        direction=direction,
        seed=seed,
        preset=preset,
        overrides=_pairs(override or [], "--set"),
        menus=MenuSource(
            env=env,
            env_options=_pairs(env_option or [], "--env-option"),
            sources=tuple(menus or ()),
            decisions=decisions,
            seed=split_seed,
            shares=_shares(shares),
            history=history,
        ),
    )
    manifest = train_choices(training, out, show=show_progress)
    _tell(manifest, out, as_json=as_json)
    if not as_json:
        print(
            "Next: valueagents run --env valueagents/Replay-v0 --env-option"
            f" pool={out / FOLDER / 'test.jsonl'} --policy"
            f" 'transformers:{base}?reading=likelihood&adapter={out}' --out …"
        )


@app.command()
def lm(
    text: Annotated[
        list[str],
        typer.Option(help="NAME=FILE, or NAME=FOLDER of .txt files; each text has an equal share."),
    ],
    out: Annotated[
        Path, typer.Option(help="Folder of the model; an unfinished training in it is continued.")
    ],
    seed: Annotated[int, seed_option("the weights and of the order of examples")] = 0,
    preset: Annotated[str, typer.Option(help="rehearsal or paper.")] = "rehearsal",
    override: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Another value for a preset's setting."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what it would take; train nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Train a decoder from scratch, with a tokenizer of its own, on text of yours."""
    from valueagents.policies.training.lm import texts_in, told, train_lm
    from valueagents.policies.training.lm_settings import lm_cost, lm_settings
    from valueagents.running.progress import show_progress

    settings = lm_settings(preset, _pairs(override or [], "--set"))
    if dry_run:
        print(lm_cost(settings))
        return
    record = train_lm(
        texts_in(_pairs(text, "--text")), settings, out, seed=seed, show=show_progress
    )
    if as_json:
        print_json(record)
    else:
        print(told(record, out))


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


def _tell(manifest: "Manifest", out: Path, *, as_json: bool) -> None:
    if as_json:
        print_json(manifest)
        return
    memory = f"{manifest.peak_memory_bytes / 1e9:.1f} GB"
    print(
        f"{out}: adapter {manifest.adapter}, {manifest.wall_s:.0f} s in the loop, {memory} at most"
    )
    if manifest.split is not None:
        split = manifest.split
        print(
            f"split {split.name[:8]}: {split.train} menus to train, {split.eval} to choose the"
            f" epoch, {split.test} held out"
        )
    for epoch, loss in enumerate(manifest.losses.eval, 1):
        kept = "  (kept)" if epoch - 1 == manifest.best_epoch else ""
        print(f"epoch {epoch}: eval loss {loss:.4f}{kept}")


def _pairs(options: list[str], flag: str) -> dict[str, str]:
    from valueagents.errors import ConfigError

    pairs = {}
    for option in options:
        name, equals, value = option.partition("=")
        if not equals or not name:
            raise ConfigError(f"{flag} {option!r}: write NAME=VALUE")
        pairs[name] = value
    return pairs


def _shares(text: str) -> tuple[float, float]:
    from valueagents.errors import ConfigError

    try:
        train, held_out = (float(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(f"--shares {text!r}: write two numbers, such as 0.4,0.1") from None
    if min(train, held_out) <= 0 or train + held_out >= 1:
        raise ConfigError(f"--shares {text!r}: both above 0, together under 1")
    return train, held_out
