"""Every file of a run has a byte changed, many times: what is read then is the truth, or something
is said.
"""

import hashlib
import random
import shutil
from pathlib import Path
from typing import Self

from valueagents.errors import StoreError, ValueAgentsError
from valueagents.experiments.validity.durability_count import Wrong, answers, compare_with_truth
from valueagents.experiments.validity.processes import playing
from valueagents.policies.engines import (
    Engine,
    GenerateReply,
    GenerateRequest,
    ScoreReply,
    ScoreRequest,
)
from valueagents.policies.engines.reply_cache import CachingEngine
from valueagents.policies.language import LanguagePolicy
from valueagents.policies.prompts import load_prompt
from valueagents.policies.readings import SayReading
from valueagents.running.execution import RunConfig, execute
from valueagents.running.runs import Run


def damaged_files(
    folder: Path, config: RunConfig, damages: int, wrong: Wrong, rng: random.Random
) -> None:
    """Every file of a run has a byte changed, many times: what is read then is the truth, or
    something is said.
    """
    whole = folder / "whole"
    with playing(folder) as player:  # a segment that was killed, then one that ended
        player.start(config, whole)
        player.until("200")
    truth = execute(config, whole)
    expected, hit = _all_that_is_read(truth), folder / "hit"
    for file in sorted(path.name for path in whole.iterdir() if path.stat().st_size):
        said = 0
        for _ in range(damages):
            shutil.copytree(whole, hit)
            _change_a_byte(hit / file, rng)
            if file.startswith("episodes"):
                (hit / "decisions.parquet").unlink()  # it has what the segment lost
            outcome = _outcome(hit, expected)
            said += outcome == "said"
            wrong.silent["damages"] += outcome == "silent"
            shutil.rmtree(hit)
        print(
            f"  {file}: of {damages} damages {said} were said, the others changed nothing that is"
            " read",
            flush=True,
        )
    _salvage(whole, hit, truth, config, wrong, rng)
    wrong.print_row("damages", f"{damages} of every file")


def _all_that_is_read(run: Run) -> list[object]:
    sessions = [
        {name: value for name, value in one.items() if name in _SESSION}
        for one in run.store.sessions()
    ]
    table = run.decisions().sort_by([("episode", "ascending"), ("step", "ascending")])
    return [run.header, answers(run), table.to_pylist(), list(run.store.failures()), sessions]


_SESSION = ("start", "end", "planned", "stored", "finished", "failed", "owed", "config", "software")


def _change_a_byte(file: Path, rng: random.Random) -> None:
    content = bytearray(file.read_bytes())
    content[rng.randrange(len(content))] ^= rng.randrange(1, 256)
    file.write_bytes(content)


def _outcome(folder: Path, expected: list[object]) -> str:
    try:
        run = Run(folder)
        same, problems = _all_that_is_read(run) == expected, run.problems()
    except StoreError:
        return "said"
    return "said" if problems else "same" if same else "silent"


def _salvage(
    whole: Path, hit: Path, truth: Run, config: RunConfig, wrong: Wrong, rng: random.Random
) -> None:
    """The same command plays what damages of every file hit."""
    for segment in truth.store.segments():
        shutil.copytree(whole, hit)
        for name in (segment.name, "run.json", "decisions.parquet"):
            _change_a_byte(hit / name, rng)
        execute(config, hit)
        compare_with_truth("damages", hit, truth, wrong)
        shutil.rmtree(hit)


class HashingEngine(Engine):
    """Stands in for a model: its replies follow from the request alone."""

    can, live = frozenset({"generate", "seeds"}), 3

    async def __aenter__(self) -> Self:
        """There is nothing to load."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """There is nothing to free."""

    def identity(self) -> dict[str, str]:
        """Always the same."""
        return {"engine": "hashing"}

    async def score(self, request: ScoreRequest) -> ScoreReply:
        """It has no probabilities."""
        raise NotImplementedError

    async def generate(self, request: GenerateRequest) -> GenerateReply:
        """A or B."""
        letter = "AB"[hashlib.sha256(repr(request).encode()).digest()[0] % 2]
        return GenerateReply(letter, "stop", 40, 0, 1)


def damaged_replies(folder: Path, damages: int, wrong: Wrong, rng: random.Random) -> None:
    """A cache of replies has a byte changed, many times: a run that reads it gets the replies that
    were given, or is told.
    """
    cache = folder / "replies.sqlite"
    truth, said = answers(_asked(cache, folder / "truth")), 0
    for number in range(damages):
        hit, out = folder / "hit.sqlite", folder / str(number)
        shutil.copyfile(cache, hit)
        _change_a_byte(hit, rng)
        try:
            run = _asked(hit, out)
            failed = bool(run.failed())
            said += failed
            wrong.silent["replies"] += not failed and answers(run) != truth
        except ValueAgentsError:
            said += 1
        shutil.rmtree(out, ignore_errors=True)
        for left in folder.glob("hit.sqlite*"):
            left.unlink()
    wrong.print_row("replies", f"{damages} of a cache, {said} said")


def _asked(cache: Path, out: Path) -> Run:
    policy = LanguagePolicy(
        CachingEngine(HashingEngine(), cache), load_prompt("choose-1"), SayReading()
    )
    config = RunConfig(env="valueagents/Dilemma-v0", policy="hashing", episodes=40, seed=1)
    return execute(config, out, policy=policy)
