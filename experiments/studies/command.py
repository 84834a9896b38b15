"""`valueagents study`: thin, because `valueagents --help` loads it; what the command needs is
imported when it runs.
"""

from pathlib import Path
from typing import Annotated

import typer

from valueagents.errors import ConfigError

_OF_WHAT_YOU_HAVE = ("adapters", "bias")


def study(
    profile: Annotated[
        str,
        typer.Argument(
            help="quick, controls, four-sides, full, paper, a .toml file; or: adapters FILE.toml,"
            " bias FILE.toml."
        ),
    ] = "quick",
    given: Annotated[
        str | None,
        typer.Argument(help="After 'adapters' or 'bias': a .toml that names what to compare."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the study; default: runs/PROFILE.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what it could see (power); train nothing.")
    ] = False,
    noise_from: Annotated[
        Path | None, typer.Option(help="With --dry-run: a finished study whose noise is taken.")
    ] = None,
) -> None:
    """Train a model on value-survey answers, see whether its behaviour follows: one report. Or
    compare adapters and personas that you have with their base (adapters FILE.toml), monolingual
    and multilingual models in stereotype bias (bias FILE.toml).
    """
    if (profile in _OF_WHAT_YOU_HAVE) != (given is not None):
        raise ConfigError(
            "study adapters FILE.toml and study bias FILE.toml compare what you have; else give one"
            " profile"
        )
    if given is not None and profile == "bias":
        _bias(given, out or Path("runs") / f"bias-{Path(given).stem}", noise_from, dry_run=dry_run)
        return
    if given is not None:
        if dry_run or noise_from is not None:
            raise ConfigError(
                "--dry-run and --noise-from are of studies that train; leave them out"
            )
        from valueagents.experiments.studies.given import run_given

        found = run_given(given, out or Path("runs") / Path(given).stem)
        print("\n\n".join(found.answer))
        print(f"Report: {found.page.resolve()}")
        return
    if dry_run:
        from valueagents.experiments.studies.dry_run import dry_run as told

        print(told(profile, noise_from))
        return
    from valueagents.experiments.studies.survey_to_behavior import run_study

    report = run_study(profile, out or Path("runs") / Path(profile).stem)
    print(report.answer)
    print(f"Report: {report.page.resolve()}")


def _bias(design: str, out: Path, noise_from: Path | None, *, dry_run: bool) -> None:
    if dry_run:
        from valueagents.experiments.studies.bias_power import bias_dry_run

        print(bias_dry_run(design, noise_from))
        return
    if noise_from is not None:
        raise ConfigError("--noise-from goes with --dry-run; leave it out")
    from valueagents.experiments.studies.bias import run_bias_study

    found = run_bias_study(design, out)
    print("\n\n".join(found.answer))
    print(f"Report: {found.page.resolve()}")
