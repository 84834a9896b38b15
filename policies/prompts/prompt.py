"""Prompt: how a view is put to a language model, as data; named in the policy's identity by id and
by hash.

A prompt is a wording. The forms of the answer that are asked for (a letter, a line after thoughts,
a command) stand apart from it: two prompts that differ in nothing but these are one prompt.
"""

from collections.abc import Callable, Sequence
from string import ascii_uppercase
from typing import ClassVar, Literal

import msgspec

from valueagents.contracts.decision import Asks, Menu
from valueagents.contracts.policy import Exchange, View
from valueagents.errors import PolicyError
from valueagents.identity import content_hash
from valueagents.policies.engines import Chat, Message
from valueagents.policies.prompts.templates import Places, Templates, fill

Use = Literal["evaluation", "training"]
"""What a bundled prompt is for: no training is put in the words of an evaluation."""


class AnswerForms(Templates, frozen=True):
    """What is said after the question of the form that the answer should have.

    `letter`: of a listed option, alone. `reasoning`: thoughts, then a line "Answer: " with the
    letter. `command`: a text, in an env that takes any.
    """

    PLACES: ClassVar[Places] = {"letter": (), "reasoning": (), "command": ()}

    letter: str
    reasoning: str
    command: str


class Prompt(Templates, frozen=True):
    """A way of putting a view to a language model.

    `asks` is the question that it puts, `open` asks without listing options (a prompt that judges
    may name them in a row, `{options}`), `listed` with them, each as `option` says; `neutral` asks
    without the situation. Reading modes say which of its texts they use. `language` is that of its
    words (ISO 639-1).
    """

    PLACES: ClassVar[Places] = {
        "open": ("observation",),
        "listed": ("observation", "options"),
        "option": ("label", "text"),
        "neutral": (),
    }
    MAY_HAVE: ClassVar[Places] = {"open": ("options",), "neutral": ("options",)}

    id: str
    asks: Asks
    open: str
    listed: str
    option: str
    neutral: str
    answers: AnswerForms
    neither: str = "None of these."
    use: Use = "evaluation"
    language: str = "en"

    def hash(self) -> str:
        """The content hash of every word."""
        words = msgspec.to_builtins(self)
        if self.language == "en":
            del words["language"]  # older than the field are the identities of English prompts
        return content_hash(words)

    def wording(self) -> str:
        """The content hash of what is asked, whatever the form of the answer."""
        return content_hash(self.open, self.listed, self.neutral)

    def listing(self, view: View, options: Menu, *, neither: bool = False) -> Chat:
        """The chat that lists these options, in this order, under the letters A, B, …; with
        `neither` below them a line that names none of them.

        Raises PolicyError if there are more options than letters.
        """
        texts = self.offered(options) if neither else _texts(options)
        return _chat(
            view,
            self._listed(view.observation, texts, self.answers.letter),
            lambda turn: self._listed_turn(turn, self.answers.letter, "{letter}"),
        )

    def offered(self, options: Menu) -> list[str]:
        """The texts of the options, and below them that none of them is taken."""
        return [*_texts(options), self.neither]

    def spoken(self, view: View, *, reasoning: bool, neither: bool = False) -> Chat:
        """The chat that lists the options in the shown order, with `neither` as in `listing`, and
        asks for words.

        Raises PolicyError if there are more options than letters.
        """
        texts = self.offered(view.menu) if neither else _texts(view.menu)
        form = self.answers.reasoning if reasoning else self.answers.letter
        said = "Answer: {letter}" if reasoning else "{letter}"
        return _chat(
            view,
            self._listed(view.observation, texts, form),
            lambda turn: self._listed_turn(turn, form, said),
        )

    def free(self, view: View) -> Chat:
        """The chat that asks for a command, in an env that takes any text."""

        def question(observation: str, menu: Menu) -> str:
            return f"{self._open(observation, menu)} {self.answers.command}"

        return _chat(
            view,
            question(view.observation, view.menu),
            lambda turn: (question(turn.observation, turn.menu), turn.action),
        )

    def open_question(self, view: View) -> Chat:
        """The chat that asks without listing options."""
        return _chat(
            view,
            self._open(view.observation, view.menu),
            lambda turn: (self._open(turn.observation, turn.menu), turn.action),
        )

    def neutral_question(self, view: View) -> Chat:
        """The chat that asks the same without the situation."""
        asked = fill(self.neutral, options=_in_a_row(view.menu))
        return (Message("system", view.task), Message("user", asked))

    def _open(self, observation: str, menu: Menu) -> str:
        return fill(self.open, observation=observation, options=_in_a_row(menu))

    def _listed(self, observation: str, texts: Sequence[str], form: str) -> str:
        listed = _lines(self.option, texts)
        return f"{fill(self.listed, observation=observation, options=listed)} {form}"

    def _listed_turn(self, turn: Exchange, form: str, said: str) -> tuple[str, str]:
        """An earlier turn as the question asks for it; where its menu is not known, as it was."""
        if not turn.menu:
            return turn.observation, turn.action
        question = self._listed(turn.observation, _texts(turn.menu), form)
        if turn.taken is None:
            return question, turn.action
        return question, said.format(letter=ascii_uppercase[turn.taken])


def _texts(options: Menu) -> list[str]:
    return [option.text for option in options]


def _lines(template: str, texts: Sequence[str]) -> str:
    """One line an option, under the letters A, B, … Raises PolicyError if there are more options
    than letters.
    """
    if len(texts) > len(ascii_uppercase):
        raise PolicyError(
            f"{len(texts)} options, {len(ascii_uppercase)} letters: use reading=likelihood"
        )
    lettered = zip(ascii_uppercase, texts, strict=False)  # as many letters as there are options
    return "\n".join(fill(template, label=letter, text=text) for letter, text in lettered)


def _in_a_row(options: Menu) -> str:
    """The options' texts in shown order: "NTA, YTA or NEUTRAL"."""
    *first, last = _texts(options) or [""]
    return f"{', '.join(first)} or {last}" if first else last


def _chat(view: View, question: str, turn: Callable[[Exchange], tuple[str, str]]) -> Chat:
    """Task, the transcript as alternating messages in the form of the question, and the
    question.
    """
    messages = [Message("system", view.task)]
    for exchange in view.transcript:
        asked, answered = turn(exchange)
        messages += [Message("user", asked), Message("assistant", answered)]
    return (*messages, Message("user", question))
