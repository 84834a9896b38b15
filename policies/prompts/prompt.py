"""Prompt: how a view is put to a language model, as data; named in the policy's identity by id and
by hash.
"""

from string import ascii_uppercase
from typing import ClassVar

import msgspec

from valueagents.contracts.decision import Menu
from valueagents.contracts.policy import View
from valueagents.errors import PolicyError
from valueagents.identity import content_hash
from valueagents.policies.engines import Chat, Message
from valueagents.policies.prompts.templates import Places, Templates, fill


class LabelText(Templates, frozen=True):
    """How a menu is listed, for letters to be read."""

    PLACES: ClassVar[Places] = {"question": ("observation", "options"), "option": ("label", "text")}

    question: str
    option: str


class LikelihoodText(Templates, frozen=True):
    """How the env asks when options are not listed; `neutral` asks without the situation."""

    PLACES: ClassVar[Places] = {"question": ("observation",), "neutral": ()}

    question: str
    neutral: str


class SayText(Templates, frozen=True):
    """How a model that speaks is asked: to answer, to reason before it answers, and in an env of
    free text.
    """

    PLACES: ClassVar[Places] = {
        "question": ("observation", "options"),
        "reasoning": ("observation", "options"),
        "option": ("label", "text"),
        "free": ("observation",),
    }

    question: str
    reasoning: str
    option: str
    free: str


class Prompt(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A way of putting a view to a language model.

    Reading modes say which of its texts they use.
    """

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
        listed = _listed(self.label.option, options)
        return _chat(view, fill(self.label.question, observation=view.observation, options=listed))

    def spoken(self, view: View, *, reasoning: bool) -> Chat:
        """The chat that lists the options in the shown order and asks for words.

        Raises PolicyError if there are more options than letters.
        """
        listed = _listed(self.say.option, view.menu)
        question = self.say.reasoning if reasoning else self.say.question
        return _chat(view, fill(question, observation=view.observation, options=listed))

    def free(self, view: View) -> Chat:
        """The chat that asks for a command, in an env that takes any text."""
        return _chat(view, fill(self.say.free, observation=view.observation))

    def open_question(self, view: View) -> Chat:
        """The chat that asks what to do without listing options."""
        return _chat(view, fill(self.likelihood.question, observation=view.observation))

    def neutral_question(self, view: View) -> Chat:
        """The chat that asks the same without the situation."""
        return (Message("system", view.task), Message("user", fill(self.likelihood.neutral)))


def _listed(template: str, options: Menu) -> str:
    """One line an option, under the letters A, B, … Raises PolicyError if there are more options
    than letters.
    """
    if len(options) > len(ascii_uppercase):
        raise PolicyError(
            f"{len(options)} options, {len(ascii_uppercase)} letters: use reading=likelihood"
        )
    lines = [
        fill(template, label=letter, text=option.text)
        for letter, option in zip(
            ascii_uppercase, options, strict=False
        )  # as many letters as there are options
    ]
    return "\n".join(lines)


def _chat(view: View, question: str) -> Chat:
    """Task, the transcript as alternating messages, and the question."""
    messages = [Message("system", view.task)]
    for exchange in view.transcript:
        messages += [Message("user", exchange.observation), Message("assistant", exchange.action)]
    return (*messages, Message("user", question))
