"""Do a model's personas spread round the circle of values, and do survey and dilemmas tell the same
of them?

Each persona (a bundled system text about somebody who holds one value above the others) answers a
few statements of every value and a few dilemmas, all of them the same ones. Ends with a circle page
for each env and the validity page. A command that was stopped goes on, and more --personas or
--dilemmas are added to what is there.
"""

import time
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

MODEL = "transformers:smollm2-135m"
SEED = 1


def main(
    out: Annotated[Path, typer.Option(help="Folder for the runs and the pages.")] = Path(
        "runs/personas"
    ),
    count: Annotated[
        int, typer.Option("--personas", min=2, max=100, help="Personas, spread over the values.")
    ] = 20,
    pairs: Annotated[int, typer.Option(min=1, help="Affirming statements of each value.")] = 2,
    dilemmas: Annotated[int, typer.Option(min=0, help="Dilemmas; 0 = survey only.")] = 8,
    model: Annotated[str, typer.Option(help="Policy spec, without its persona.")] = MODEL,
) -> None:
    """Personas of one model round the circle of values."""
    from valueagents.measuring.many.circle import circle_check
    from valueagents.measuring.many.multimethod import multimethod
    from valueagents.measuring.many.profiles import profiles
    from valueagents.report.many_page import circle_page, validity_page
    from valueagents.report.template import write_page
    from valueagents.running.execution import RunConfig, execute
    from valueagents.running.progress import show_progress
    from valueagents.running.runs import Run

    started = time.monotonic()
    configs = [
        RunConfig(
            env="valueagents/Survey-v0", policy=model, seed=SEED, env_options=_survey(out, pairs)
        )
    ]
    if dilemmas:
        configs.append(
            RunConfig(env="valueagents/Dilemma-v0", policy=model, seed=SEED, episodes=dilemmas)
        )
    done: dict[str, list[Run]] = {}
    for each in configs:
        name = each.env.removeprefix("valueagents/").removesuffix("-v0").lower()
        for persona in _spread(count):
            spec = f"{model}{'&' if '?' in model else '?'}persona={persona}"
            with show_progress(f"{persona}, {name}") as progress:
                config = RunConfig(
                    env=each.env,
                    policy=spec,
                    seed=SEED,
                    env_options=each.env_options,
                    episodes=each.episodes,
                )
                done.setdefault(name, []).append(
                    execute(config, out / name / persona, progress=progress)
                )
        table = profiles(done[name])
        check = circle_check(table.of(), table.taxonomy, menus=table.menus)
        page = circle_page(check, table, [each.env])
        print(f"{name}: {write_page(page, out / f'circle-{name}.html')}", flush=True)
    every = [each for runs in done.values() for each in runs]
    print(f"validity: {write_page(validity_page(multimethod(every)), out / 'validity.html')}")
    print(f"done in {time.monotonic() - started:.0f} s")


def _spread(count: int) -> list[str]:
    """Ids of personas: one of each value, then a second of each, …"""
    from valueagents.policies.prompts import personas

    seen: Counter[str] = Counter()
    ranked = []
    for place, persona in enumerate(personas()):
        ranked.append((seen[persona.value], place, persona.id))
        seen[persona.value] += 1
    return [persona for _, _, persona in sorted(ranked)[:count]]


def _survey(out: Path, pairs: int) -> dict[str, str]:
    """Options of a survey of the first held-out pairs of each value, which are written to a file of
    their own.
    """
    from importlib.resources import files

    import msgspec

    from valueagents.running.store import write_atomically

    header, *lines = (
        files("valueagents.envs").joinpath("data", "survey.jsonl").read_bytes().splitlines()
    )
    seen: Counter[str] = Counter()
    kept = []
    for line in lines:
        statement = msgspec.json.decode(line, type=dict[str, str])
        if statement["split"] == "test" and seen[statement["value"]] < pairs:
            seen[statement["value"]] += 1
            kept.append(line)
    out.mkdir(parents=True, exist_ok=True)
    file = out / f"survey-{pairs}.jsonl"
    write_atomically(file, b"\n".join([header, *kept]) + b"\n")
    return {"items": str(file), "poles": "affirm"}


if __name__ == "__main__":
    typer.run(main)
