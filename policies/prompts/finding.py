"""Prompts by name: bundled ones, those of plug-ins (`valueagents.prompts`), or any TOML file of the
user's; and the bundled paraphrases of each question.
"""

import os
import re
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import get_args

import msgspec

from valueagents.contracts.decision import Asks
from valueagents.contracts.plugins import load, names
from valueagents.errors import ConfigError, DataError, unknown_name
from valueagents.files.text import decode_text, decode_toml
from valueagents.policies.prompts.prompt import Prompt, Use

PROMPTS = "valueagents.prompts"
_SUFFIX = ".toml"


def load_prompt(name: str) -> Prompt:
    """The prompt in a file, if the name ends in `.toml`; else the bundled one, or that of a
    plug-in.

    Raises ConfigError for an unknown name, and naming file and field for a file that is not a
    prompt.
    """
    if name.endswith(_SUFFIX):
        return read_prompt(Path(name))
    bundled = _bundled()
    if name in bundled:
        return read_prompt(bundled[name])
    if name not in names(PROMPTS):
        raise ConfigError(
            unknown_name(
                "prompt",
                name,
                prompt_names(),
                remedy=f"Known: {', '.join(prompt_ranges())}, or a .toml file.",
            )
        )
    return _of_plugin(name)


def prompt_names() -> tuple[str, ...]:
    """The names of bundled prompts and of those of plug-ins, sorted."""
    return tuple(sorted({*_bundled(), *names(PROMPTS)}))


def prompt_ranges() -> tuple[str, ...]:
    """The names that there are in few words: `answer-1 to answer-6 (and -de, -es, …)`."""
    bundled = list(_bundled())
    told = []
    for asks in get_args(Asks):
        own = sorted(name for name in bundled if re.fullmatch(rf"{asks}-\d+", name))
        languages = sorted({name[-3:] for name in bundled if re.match(rf"{asks}-\d+-", name)})
        also = f" (and {', '.join(languages)})" if languages else ""
        told.append(f"{own[0]} to {own[-1]}{also}")
    return (*told, *names(PROMPTS))


@cache
def bundled_prompts(
    asks: Asks, use: Use = "evaluation", language: str = "en"
) -> tuple[Prompt, ...]:
    """The bundled paraphrases of a question, in the order of their names; those of one use have no
    wording and no form of the answer in common with those of the other.

    In English where there are none in the language.
    """
    every = (read_prompt(file) for _, file in sorted(_bundled().items()))
    those = [prompt for prompt in every if (prompt.asks, prompt.use) == (asks, use)]
    own = tuple(prompt for prompt in those if prompt.language == language)
    return own or tuple(prompt for prompt in those if prompt.language == "en")


def read_prompt(file: Traversable) -> Prompt:
    """The prompt in a TOML file. Raises ConfigError, naming file and field, if there is none in
    it.
    """
    name = f"prompt file {str(file)!r}"
    try:
        return msgspec.convert(decode_toml(name, decode_text(name, file.read_bytes())), Prompt)
    except OSError as error:
        raise ConfigError(f"{name} cannot be read: {error.strerror}") from error
    except DataError as error:
        raise ConfigError(str(error)) from error
    except msgspec.ValidationError as error:
        raise ConfigError(f"{name}: {error}; copy a bundled prompt and change its words") from error


def _of_plugin(name: str) -> Prompt:
    """A plug-in registers a Prompt, or where the file of one is."""
    found = load(PROMPTS, name)
    if isinstance(found, Prompt):
        return found
    if isinstance(found, str | os.PathLike):
        return read_prompt(Path(found))
    if isinstance(found, Traversable):
        return read_prompt(found)
    raise ConfigError(
        f"prompt {name!r} is a {type(found).__name__}; register a Prompt or the path of a .toml"
        " file"
    )


def _bundled() -> dict[str, Traversable]:
    folder = files("valueagents.policies").joinpath("prompts")
    return {
        entry.name.removesuffix(_SUFFIX): entry
        for asks in get_args(Asks)
        for entry in folder.joinpath(asks).iterdir()
        if entry.name.endswith(_SUFFIX)
    }
