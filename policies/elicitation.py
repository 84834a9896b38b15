"""Elicitation: how a language model is asked and its answer read, whatever engine it runs on.

The env says what it asks (`ValueEnv.asks`); from there come the reading mode and the prompts,
unless options name others.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, get_args

import msgspec

from valueagents.contracts.decision import Asks
from valueagents.contracts.options import OptionDoc, declared, make_options, option_doc, option_docs
from valueagents.errors import ConfigError, DataError, unknown_name
from valueagents.files.text import read_text
from valueagents.policies.prompts import (
    Prompt,
    bundled_prompts,
    load_persona,
    load_prompt,
    prompt_ranges,
)
from valueagents.policies.readings import (
    ReadingMode,
    ScoreReading,
    known_readings,
    load_reading,
)

QUESTIONS: tuple[Asks, ...] = get_args(Asks)
_OF_QUESTION = {
    "rate": ("likelihood", {"normaliser": "sum"}),
    "judge": ("label", {"opening": "answer"}),
    "compare": ("sentences", {}),
}
"""The reading of questions that have one of their own.

Ratings: their likelihood, as the survey study reads them (arXiv 2508.11414). Verdicts: the letter
after "Answer:"; the embedded model begins with no verdict when asked openly (a probability of 0.02
for all of them). Sentences: their likelihood by themselves.
"""


class ElicitationOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The options of every elicitation; those of its reading mode come on top.

    Args:
        reading: how the answer is read; each reading mode has further options. By default what
            suits the env's question: likelihood (sum) of ratings, the letter after "Answer:"
            of verdicts, else the engine's.
        prompt: one prompt for every item, a bundled or plugged-in one, or a file of yours; by
            default all paraphrases of the env's question, assigned to items in a balanced design.
        persona: id of a bundled persona, put before the task.
        system: a text file, put before the task.
        history: at most this many earlier turns are shown; older ones go in blocks, so that a
            beginning stays shared.
        adapter: a PEFT folder or hub id (for a server: the name under which it serves one, or a
            folder).
        cache: a file of replies; what is in it is not asked again.
    """

    reading: str | None = None
    prompt: str | None = None
    persona: str | None = None
    system: str | None = None
    history: Annotated[int, msgspec.Meta(ge=1)] | None = None
    adapter: str | None = None
    cache: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Elicitation:
    """Everything found and checked, no model loaded.

    `readings` are those for each question that an env may ask; `prompt` is the one for all of them,
    None = the bundled ones (`prompts`). `preamble` is put before the task, `history` is how many
    earlier turns are shown at most (None = all), `adapter` is what the user calls it, `cache` the
    file of replies.
    """

    readings: Mapping[Asks, ReadingMode]
    prompt: Prompt | None = None
    preamble: str | None = None
    history: int | None = None
    adapter: str | None = None
    cache: Path | None = None

    def prompts(self, asks: Asks, language: str = "en") -> tuple[Prompt, ...]:
        """The prompts of a question, in its language where there are bundled ones."""
        if self.prompt is not None:
            return (self.prompt,)
        return bundled_prompts(asks, language=language)


ELICITATION_OPTIONS = frozenset(each.name for each in declared(ElicitationOptions))
"""The names of the options that every elicitation has."""


def read_elicitation(
    options: Mapping[str, object],
    *,
    default_reading: str = "label",
    name: str = "elicitation",
    also_known: Collection[str] = (),
) -> Elicitation:
    """The elicitation that options describe: those above and those of the reading mode; values may
    be texts.

    Args:
        options: by name.
        default_reading: the engine's reading mode, for envs whose question has none of its own. A
            question's own is taken if options name no other and the engine's goes by probabilities.
        name: whose options they are, for messages.
        also_known: further names that an unknown option may have been meant for.

    Raises ConfigError for an unknown, ill-typed or superfluous option, and for a prompt, persona or
    file that cannot be read.
    """
    common = {option: value for option, value in options.items() if option in ELICITATION_OPTIONS}
    of_reading = {
        option: value for option, value in options.items() if option not in ELICITATION_OPTIONS
    }
    asked = make_options(ElicitationOptions, name, common)
    reading = asked.reading or default_reading
    kind = load_reading(reading)
    own = _option_names(kind)
    for option in of_reading:
        if option not in own:
            raise ConfigError(_superfluous(option, reading, name, own | {*also_known}))
    everywhere = kind(make_options(kind.Options, name, of_reading))
    own_ways = asked.reading is None and issubclass(kind, ScoreReading)
    return Elicitation(
        readings={
            asks: (_own_reading(asks, name, of_reading) if own_ways else None) or everywhere
            for asks in QUESTIONS
        },
        prompt=None if asked.prompt is None else load_prompt(asked.prompt),
        preamble=_preamble(asked),
        history=asked.history,
        adapter=asked.adapter,
        cache=Path(asked.cache) if asked.cache is not None else None,
    )


def _own_reading(asks: Asks, name: str, options: Mapping[str, object]) -> ReadingMode | None:
    """The reading of a question that has its own; None where it has none, or an option given is of
    another reading.
    """
    if asks not in _OF_QUESTION:
        return None
    reading, preset = _OF_QUESTION[asks]
    kind = load_reading(reading)
    if not options.keys() <= _option_names(kind):
        return None
    return kind(make_options(kind.Options, name, {**preset, **options}))


def _option_names(kind: type[ReadingMode]) -> set[str]:
    return {each.name for each in declared(kind.Options)}


def describe_elicitation(default_reading: str) -> list[OptionDoc]:
    """Every option in words: those of all elicitations, then those of the reading modes, each with
    whose it is.
    """
    docs = {each.name: each for each in option_docs(ElicitationOptions)}
    kinds = known_readings()
    replace = msgspec.structs.replace
    docs["reading"] = replace(docs["reading"], type=" | ".join(kinds), default=default_reading)
    names = " | ".join((*prompt_ranges(), "FILE.toml"))
    docs["prompt"] = replace(docs["prompt"], type=names, default="all of the env's question")
    owners: dict[OptionDoc, list[str]] = {}
    for name, kind in kinds.items():
        for option in declared(kind.Options):
            owners.setdefault(option_doc(option), []).append(name)
    of_readings = [
        replace(doc, does=f"{_readings(names)}: {doc.does}") for doc, names in owners.items()
    ]
    return [*docs.values(), *of_readings]


def _superfluous(option: str, reading: str, name: str, known: Collection[str]) -> str:
    """The message about an option that this reading mode does not have: whose it is, or the nearest
    name.
    """
    by_reading = {
        mode: {each.name for each in declared(kind.Options)}
        for mode, kind in known_readings().items()
    }
    owners = [mode for mode, names in by_reading.items() if option in names]
    if owners:
        return (
            f"option {option} of {name} does nothing with reading={reading}; it is for"
            f" {_readings(owners)}"
        )
    everything = {*known, *ELICITATION_OPTIONS}.union(*by_reading.values())
    return unknown_name(f"option of {name}", option, everything)


def _readings(names: Collection[str]) -> str:
    return " or ".join(f"reading={name}" for name in names)


def _preamble(asked: ElicitationOptions) -> str | None:
    """The persona's text or that of the file.

    Raises ConfigError if there is none, or both are given.
    """
    if asked.persona is not None and asked.system is not None:
        raise ConfigError("persona and system are both put before the task; give one of them")
    if asked.persona is not None:
        return load_persona(asked.persona)
    if asked.system is None:
        return None
    try:
        text = read_text(Path(asked.system)).strip()
    except (OSError, DataError) as error:
        raise ConfigError(f"system={asked.system}: {error}; give a text file") from error
    if not text:
        raise ConfigError(f"system={asked.system} is empty; leave the option out")
    return text
