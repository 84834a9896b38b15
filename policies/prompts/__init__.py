"""Prompts are versioned data: one TOML file each, named in the policy's identity by id and by hash."""

import tomllib
from importlib.resources import files
from string import ascii_uppercase

import msgspec

from valueagents.contracts.decision import Menu
from valueagents.contracts.policy import View
from valueagents.errors import ConfigError, PolicyError, unknown_name
from valueagents.identity import content_hash
from valueagents.policies.engines import Chat, Message


class LabelText(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a menu is listed: `question` holds {observation} and {options}, `option` holds {label} and {text}."""

    question: str
    option: str


class LikelihoodText(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the world asks when options are not listed: `question` holds {observation}; `neutral` holds no situation."""

    question: str
    neutral: str


class SayText(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a model that speaks is asked: `question` and `reasoning` hold {observation} and {options}, `free` no menu."""

    question: str
    reasoning: str
    option: str
    free: str


class Prompt(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A way of putting a view to a language model."""

    id: str
    label: LabelText
    likelihood: LikelihoodText
    say: SayText

    def hash(self) -> str:
        """The content hash of every word."""
        return content_hash(msgspec.to_builtins(self))

    def listing(self, view: View, options: Menu) -> Chat:
        """The chat that lists these options, in this order, under the letters A, B, …

        Raises PolicyError if there are more options than letters.
        """
        if len(options) > len(ascii_uppercase):
            raise PolicyError(f"{len(options)} options, {len(ascii_uppercase)} letters: use reading=likelihood")
        lines = [
            self.label.option.format(label=ascii_uppercase[k], text=option.text) for k, option in enumerate(options)
        ]
        return _chat(view, self.label.question.format(observation=view.observation, options="\n".join(lines)))

    def spoken(self, view: View, *, reasoning: bool) -> Chat:
        """The chat that lists the options in the shown order and asks for words.

        Raises PolicyError if there are more options than letters.
        """
        if len(view.menu) > len(ascii_uppercase):
            raise PolicyError(f"{len(view.menu)} options, {len(ascii_uppercase)} letters: use reading=likelihood")
        lines = [self.say.option.format(label=ascii_uppercase[k], text=o.text) for k, o in enumerate(view.menu)]
        question = self.say.reasoning if reasoning else self.say.question
        return _chat(view, question.format(observation=view.observation, options="\n".join(lines)))

    def free(self, view: View) -> Chat:
        """The chat that asks for a command, in a world that takes any text."""
        return _chat(view, self.say.free.format(observation=view.observation))

    def open_question(self, view: View) -> Chat:
        """The chat that asks what to do without listing options."""
        return _chat(view, self.likelihood.question.format(observation=view.observation))

    def neutral_question(self, view: View) -> Chat:
        """The chat that asks the same without the situation."""
        return (Message("system", view.task), Message("user", self.likelihood.neutral))


def load_prompt(prompt_id: str) -> Prompt:
    """The bundled prompt of that id. Raises ConfigError for an unknown id."""
    folder = files("valueagents.policies").joinpath("prompts")
    known = {entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml")}
    if prompt_id not in known:
        raise ConfigError(unknown_name("prompt", prompt_id, known))
    return msgspec.convert(tomllib.loads(folder.joinpath(f"{prompt_id}.toml").read_text(encoding="utf-8")), Prompt)


class Persona(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A system text about somebody who holds one value above others."""

    id: str
    value: str
    text: str


def personas() -> tuple[Persona, ...]:
    """The bundled personas, in their order."""
    lines = files("valueagents.policies").joinpath("prompts", "personas.jsonl").read_bytes().splitlines()
    return tuple(msgspec.json.decode(line, type=Persona) for line in lines)


def load_persona(persona_id: str) -> str:
    """The text of a bundled persona. Raises ConfigError for an unknown id."""
    known = {persona.id: persona.text for persona in personas()}
    if persona_id not in known:
        raise ConfigError(unknown_name("persona", persona_id, known, remedy="They are named SDT-1 to UNO-5."))
    return known[persona_id]


def _chat(view: View, question: str) -> Chat:
    """Task, the transcript as alternating messages, and the question."""
    messages = [Message("system", view.task)]
    for exchange in view.transcript:
        messages += [Message("user", exchange.observation), Message("assistant", exchange.action)]
    return (*messages, Message("user", question))
