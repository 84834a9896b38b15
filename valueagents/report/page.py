"""Build the HTML page: pictures, tables, counts and a sample of decisions, through one autoescaping template."""

import shlex
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from valueagents.contracts.decision import Decision
from valueagents.measuring.comparison import Comparison, compare, two_sides
from valueagents.measuring.inference import Estimate
from valueagents.measuring.scores import Scores, score
from valueagents.report.pictures import axis_colours, headline, picture
from valueagents.running.runs import Run
from valueagents.running.store import write_atomically

_SAMPLE = 12


def write_report(runs: Sequence[Run | Path | str], out: Path | str, *, primary: str | None = None) -> Path:
    """A self-contained HTML page on one run, or on two policies with their comparison, is at `out`.

    More than two runs are training seeds, those of the first policy and as many of the second: all are compared, the
    first of each is shown. Raises ConfigError for runs that cannot be compared.
    """
    opened = [run if isinstance(run, Run) else Run(run) for run in runs]
    first, second = two_sides(opened) if len(opened) != 1 else (opened, [])
    comparison = compare(first, second, primary=primary) if second else None
    shown = [first[0], *second[:1]]
    html = _render(shown, [score(run) for run in shown], comparison, len(first))
    path = Path(out)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, html.encode())
    return path


def _render(runs: list[Run], scores: list[Scores], comparison: Comparison | None, seeds: int) -> str:
    taxonomy = runs[0].header.taxonomy
    svg = Markup(picture(taxonomy, scores, [run.header.policy for run in runs]))  # noqa: S704 – drawn by us; matplotlib escapes labels
    return template("page.html.j2").render(
        taxonomy=taxonomy,
        colours=dict(zip(taxonomy.axis_ids, axis_colours(taxonomy), strict=True)),
        svg=svg,
        sheets=[_sheet(run, sheet) for run, sheet in zip(runs, scores, strict=True)],
        comparison=comparison,
        seeds=seeds,
        headline=headline,
        written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        version=version("valueagents"),
    )


def template(name: str, package: str = "valueagents.report") -> jinja2.Template:
    """A page's template in a package, which may include ours; whatever is put into it is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.PackageLoader(each, "") for each in (package, "valueagents.report")]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(signed=format_signed, interval=format_interval, percent=_percent, p=_p)
    return environment.get_template(name)


def _sheet(run: Run, scores: Scores) -> dict[str, Any]:
    """What the template shows of one run."""
    sessions = run.store.sessions()
    return {
        "scores": scores,
        "header": run.header,
        "command": _command(run, scores),
        "wall_s": sum(session.get("wall_s", 0.0) for session in sessions),
        "sessions": sum("start" in session for session in sessions),
        "software": next((session["software"] for session in reversed(sessions) if "software" in session), {}),
        "sample": _sample(run),
        "failures": run.failed()[:_SAMPLE],
    }


def _command(run: Run, scores: Scores) -> str:
    """The command that makes the run again."""
    header = run.header
    options = [part for name, value in header.env_options.items() for part in ("--env-option", f"{name}={value}")]
    words = ["valueagents", "run", "--env", header.env, *options, "--policy", header.policy]
    words += [
        "--episodes",
        str(scores.counts.episodes + scores.counts.failed_episodes),
        "--seed",
        str(header.seed),
        "--out",
        "DIR",
    ]
    return shlex.join(words)


def _sample(run: Run) -> list[dict[str, Any]]:
    """The first decisions of a few episodes, spread over the run by identity."""
    episodes = run.episodes()
    step = max(1, len(episodes) // _SAMPLE)
    return [
        _shown(episode.situation or episode.identity[:8], episode.decisions[0])
        for episode in episodes[::step][:_SAMPLE]
    ]


def _shown(name: str, decision: Decision) -> dict[str, Any]:
    chosen = decision.chosen
    probabilities = decision.choice.probabilities or [None] * len(decision.menu)
    values = decision.annotation.values if decision.annotation else [{}] * len(decision.menu)
    options = [
        {"text": option.text, "p": p, "chosen": k == chosen, "values": {axis: x for axis, x in marks.items() if x}}
        for k, (option, p, marks) in enumerate(zip(decision.menu, probabilities, values, strict=True))
    ]
    return {"name": name, "text": decision.observation, "options": options, "reading": decision.choice.reading}


def format_signed(value: float | None, digits: int = 2) -> str:
    """+0.12 or −0.12; a dash for None, no sign on what rounds to 0."""
    if value is None:
        return "–"
    text = f"{value:+.{digits}f}".replace("-", "−")
    return text if any(digit in text for digit in "123456789") else text[1:]  # no sign on what rounds to 0


def format_interval(estimate: Estimate, digits: int = 2) -> str:
    """[−0.12, +0.34]; nothing where there is no interval."""
    if estimate.low is None or estimate.high is None:
        return ""
    return f"[{format_signed(estimate.low, digits)}, {format_signed(estimate.high, digits)}]"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.0f} %"


def _p(value: float | None) -> str:
    return "–" if value is None else ("< 0.001" if value < 0.001 else f"{value:.3f}")
