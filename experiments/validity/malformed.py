"""Is whatever is wrong with a file said in one line? Every format that a command reads, damaged at
random, and every number on the command line.

Each trial runs the command line in a forked process, with a limit of time and memory, and is one
of:

- refused: exit code 2, one line on standard error that names the file (or the option);
- accepted, and what is printed is as before, or what is otherwise is said;
- other: another correct file, where the damage may make one (a digit that is another);
- wrong: a traceback, a hang, a refusal that names no file, and `silent`: accepted with other
  numbers although no reader can take the damage for a correct file.
"""

import io
import json
import os
import random
import re
import resource
import shutil
import signal
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from valueagents.errors import ValueAgentsError
from valueagents.experiments.bench.timing import make_parser, read_options
from valueagents.experiments.studies.design import read_study
from valueagents.experiments.validity import malformed_models, malformed_settings
from valueagents.experiments.validity.malformed_crafted import BINARY, crafted_damages_of
from valueagents.experiments.validity.malformed_damages import FileDamage, damages_of
from valueagents.experiments.validity.malformed_inputs import formats
from valueagents.experiments.validity.malformed_items import Format, Words

SIZES = {"number": (3000, 60), "seed": (1, 1)}
LIMIT_S = 60
_TELL_EVERY = 100
_MEMORY_BYTES = 6 << 30
WRONG = ("traceback", "hang", "unnamed", "silent")
_PLACE = re.compile(
    r"line \d+|\$|column|field|key|rule \d+|`|\[\d+\]|byte|label|scene|option|setting"
)
_DILEMMAS = "run --env valueagents/Dilemma-v0 --dry-run --policy"
_OTHER = "run --policy random --dry-run --episodes 1 --env valueagents"
_TRAIN = "train survey --base smollm2-135m --target HED --direction down --out {folder}/out"
NUMBERS = (
    (f"{_DILEMMAS} random --seed {{}}", "seed"),
    (f"{_DILEMMAS} random --episodes {{}}", "episodes"),
    (f"{_DILEMMAS} random --live {{}}", "live"),
    (f"{_DILEMMAS} random --timeout-s {{}}", "timeout"),
    (f"{_DILEMMAS} known:BEC={{}}", "BEC"),
    (f"{_DILEMMAS} openai:http://127.0.0.1:9/v1?model=m&temperature={{}}", "temperature"),
    (f"{_OTHER}/ChoiceScript-v0 --env-option max_steps={{}}", "max_steps"),
    (f"{_OTHER}/Jericho-v0 --env-option hang_s={{}}", "hang_s"),
    (f"{_OTHER}/Jericho-v0 --env-option tries={{}}", "tries"),
    (f"{_OTHER}/Survey-v0 --env-option variants={{}}", "variants"),
    (f"{_OTHER}/Judgement-v0 --env-option cap={{}}", "cap"),
    ("score {folder}/run --seed {}", "seed"),
    ("compare {folder}/run {folder}/run --seed {}", "seed"),
    ("play valueagents/Dilemma-v0 --seed {}", "seed"),
    ("replay --pool {folder}/run --policy random --out {folder}/out --decisions {}", "decisions"),
    (f"{_TRAIN} --seed {{}}", "seed"),
    (f"{_TRAIN} --set learning_rate={{}}", "learning_rate"),
)
"""Commands with a place for a number, and the name that a refusal must hold."""
AT_MOST = ("max_steps", "cap", "decisions")
"""Numbers of these may be as large as one likes."""
ANY_SIGN = ("BEC",)
"""And these may be below 0."""
ODD_NUMBERS = (
    "nan",
    "inf",
    "-1",
    "-inf",
    "1" + "0" * 400,
    "9" * 5000,
    "1e999",
    "x",
    "",
    "٣²",
    "0x10",
)


_LOADED = (
    "valueagents.cli.app",
    "valueagents.running.start",
    "valueagents.running.pool",
    "valueagents.measuring.scores",
    "valueagents.envs.items.dilemma",
    "valueagents.envs.choice_game.env",
    "valueagents.envs.survey.env",
    "valueagents.envs.stereotypes.env",
    "valueagents.envs.replay_command",
    "valueagents.envs.parser_game",
    "valueagents.policies.language",
    "valueagents.policies.scripted",
    "valueagents.policies.training",
    "gymnasium",
    "pandas",  # pyarrow asks for it
    "typer._adapters",
    "gzip",
)


_READERS = {**malformed_settings.READERS, **malformed_models.READERS}


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Trial:
    """What was done, and what came of it."""

    what: str
    outcome: str
    said: str


def main(argv: Sequence[str] | None = None) -> None:
    """Print what became of the trials, and every one that was wrong."""
    options = read_options(make_parser(__doc__), SIZES, argv)
    for module in _LOADED:  # once, not in every process
        import_module(module)
    if find_spec("peft") is not None:
        import_module("peft")
        import_module("transformers.models.llama.modeling_llama")
    read_study("quick")
    rng = random.Random(options.seed)  # noqa: S311 – which byte, no secret
    found: list[Trial] = []
    with tempfile.TemporaryDirectory(prefix="valueagents-malformed-") as name:
        folder = Path(name)
        inputs = Inputs(folder)
        for number in range(options.number):
            trial = (
                _odd_number(rng, folder / "numbers", inputs)
                if number % 12 == 0
                else damaged(inputs.prepared(rng.choice(inputs.formats)), rng)
            )
            if number % _TELL_EVERY == _TELL_EVERY - 1 and number + 1 < options.number:
                print(f"{number + 1} of {options.number}", flush=True)
            if trial is not None:
                found.append(trial)
                if trial.outcome in WRONG:
                    print(f"WRONG {trial.outcome}: {trial.what}\n  {trial.said}", flush=True)
    _print_counts(found)


def _print_counts(found: Sequence[Trial]) -> None:
    counts = Counter(trial.outcome for trial in found)
    refused = [trial for trial in found if trial.outcome == "refused"]
    placed = sum(bool(_PLACE.search(trial.said)) for trial in refused)
    good = ", ".join(f"{counts[name]} {name}" for name in ("refused", "unchanged", "said", "other"))
    wrong = ", ".join(f"{name} {counts[name]}" for name in WRONG)
    print(f"{len(found)} malformed inputs: {good} ({placed} refusals name a place in the file)")
    print(f"wrong: {wrong}")


class Prepared(NamedTuple):
    """A format's correct files in a folder, and what its commands print of them."""

    form: Format
    place: Path
    names: Sequence[str]
    before: list[Ended]


class Inputs:
    """The formats, prepared when they are first asked for.

    In processes of their own, so that no thread runs where others are forked.
    """

    def __init__(self, folder: Path) -> None:
        self.formats = formats()
        self._folder = folder
        self._made: dict[str, Prepared] = {}

    def prepared(self, form: Format) -> Prepared:
        """The format's files, as they should be."""
        if form.name not in self._made:
            self._made[form.name] = self._prepare(form, self._folder / str(len(self._made)))
        return self._made[form.name]

    def run(self) -> Path:
        """A run directory."""
        return (
            self.prepared(next(f for f in self.formats if f.name == "run directory")).place / "run"
        )

    @staticmethod
    def _prepare(form: Format, place: Path) -> Prepared:
        place.mkdir()
        names_file = place.with_suffix(".names")
        told = _forked(lambda: names_file.write_text(json.dumps(list(form.write(place)))))
        if told.code:
            raise RuntimeError(f"{form.name}: {told.err}")
        before = _commands(form.commands(place), place)
        if any(each.code for each in before):
            raise RuntimeError(f"{form.name} is not correct: {before[-1].err}")
        return Prepared(form, place, json.loads(names_file.read_text()), before)


def damaged(prepared: Prepared, rng: random.Random) -> Trial | None:
    """One damage of one file of a format."""
    form, place, names, before = prepared
    file = place / rng.choice(names)
    damage: FileDamage = rng.choice(_damages(form, file))
    content = file.read_bytes()
    made = damage.make(content, rng)
    if made is None or made == content:
        return None
    kept = place.with_suffix(".kept")
    shutil.copytree(place, kept)
    file.write_bytes(made)
    after = _commands(form.commands(place), place)
    shutil.rmtree(place)
    kept.rename(place)
    what = f"{form.name}, {file.name}: {damage.name}"
    named = (file.name, file.stem, str(file.parent), "run'", str(place / "run"))
    return Trial(what, *_judged(before, after, damage.leaves, form.numbers, named))


def _damages(form: Format, file: Path) -> Sequence[FileDamage]:
    if form.sealed or file.suffix in BINARY:
        return crafted_damages_of(".bin" if form.sealed else file.suffix)
    return damages_of(file.suffix)


def _odd_number(rng: random.Random, folder: Path, inputs: Inputs) -> Trial:
    words, name = rng.choice(NUMBERS)
    odd = rng.choice(ODD_NUMBERS)
    folder.mkdir()
    shutil.copytree(inputs.run(), folder / "run")
    filled = [word.replace("{folder}", str(folder)).replace("{}", odd) for word in words.split()]
    after = _commands([filled], folder)
    shutil.rmtree(folder)
    what = f"{words} with {odd[:30]!r}"
    may_be = (odd.isdecimal() and name in AT_MOST) or (odd == "-1" and name in ANY_SIGN)
    leaves = "any" if may_be else "none"
    names = (name, name.replace("_", "-"))
    return Trial(what, *_judged([Ended(-1, "", "")], after, leaves, False, names))


def _judged(
    before: list[Ended], after: list[Ended], leaves: str, numbers: bool, named: Sequence[str]
) -> tuple[str, str]:
    """The outcome, and what was said."""
    last = after[-1]
    if last.code == -signal.SIGALRM:
        return "hang", ""
    if "Traceback" in last.err or last.code not in (0, 2, 3):
        return "traceback", last.err[-1500:]
    if last.code == 2:
        lines = [line for line in last.err.splitlines() if line.lower().startswith("error: ")]
        if len(lines) == 1 and any(name in lines[0] for name in named):
            return "refused", lines[0]
        return "unnamed", last.err[-600:]
    same = len(after) == len(before) and _numbers(before[-1].out) == _numbers(last.out)
    if same and (numbers or leaves == "same"):
        return "unchanged", ""
    news = set("\n".join(each.err for each in after).splitlines()) - set(
        "\n".join(each.err for each in before).splitlines()
    )
    if news or _warnings(last.out) != _warnings(before[-1].out):
        return "said", " ".join(sorted(news))
    return ("other" if leaves == "any" else "silent"), last.out[:300]


def _numbers(out: str) -> object:
    """What a command printed of a run: scores and counts; else all of it."""
    try:
        scores = json.loads(out)
        return scores["axes"], scores["counts"]
    except (ValueError, KeyError, TypeError):
        return out


def _warnings(out: str) -> object:
    """What a command says beside its numbers: warnings of scores, rows that were left out."""
    try:
        said = json.loads(out)
    except ValueError:
        return None
    if not isinstance(said, dict):
        return None
    found = said.get("result") or {}
    return said.get("warnings"), found.get("left_out"), found.get("remarks")


def _commands(commands: Sequence[Words], folder: Path) -> list[Ended]:
    """How commands ended, one after another, up to the first that was refused."""
    ended = []
    for words in commands:
        ended.append(_forked(partial(_command, words)))
        if ended[-1].code not in (0, 3):
            break
    shutil.rmtree(folder / "out", ignore_errors=True)
    return ended


def _command(words: Words) -> None:
    if words[0] in _READERS:  # their commands would load a model next
        try:
            print(_READERS[words[0]](words[1]))
        except ValueAgentsError as error:
            print(f"error: {error}", file=sys.stderr)
            sys.exit(2)
        return
    from valueagents.cli import main as valueagents

    sys.argv = ["valueagents", *words]
    valueagents()


def _forked(act: Callable[[], object]) -> Ended:
    """What a function printed in a process of its own, with a limit of time and memory."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        pid = os.fork()
        if pid == 0:
            _in_child(act, out.fileno(), err.fileno())
        _, status = os.waitpid(pid, 0)
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode("utf-8", "replace"))
    code = os.waitstatus_to_exitcode(status)
    return Ended(code, *texts)


def _in_child(act: Callable[[], object], out: int, err: int) -> None:
    os.dup2(out, 1)
    os.dup2(err, 2)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    signal.alarm(LIMIT_S)
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    code = 1
    with (
        io.TextIOWrapper(io.FileIO(1, "w", closefd=False), encoding="utf-8") as stdout,
        io.TextIOWrapper(io.FileIO(2, "w", closefd=False), encoding="utf-8") as stderr,
        redirect_stdout(stdout),
        redirect_stderr(stderr),
    ):
        try:
            act()
            code = 0
        except SystemExit as ended:
            code = int(ended.code or 0)
        except BaseException:
            traceback.print_exc()
    os._exit(code)


if __name__ == "__main__":
    main()
