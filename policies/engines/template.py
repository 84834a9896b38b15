"""ChatTemplate: a model's own way of writing a chat, tested with marked messages before it is
trusted.

A template can leave out messages without a word, put in today's date, end a turn with another token
than the tokenizer's, or open a thought. All of that is found out by rendering markers.
"""

import logging
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from valueagents.errors import PolicyError, first_line
from valueagents.policies.engines.engine import Chat, Message

log = logging.getLogger("valueagents")

DAY = datetime(2025, 1, 1, tzinfo=UTC)
"""The day that every prompt is of: the real one would change the prompt under one identity."""

MARKED = (
    Message("system", "zqtask"),
    Message("user", "zqfirst"),
    Message("assistant", "zqanswer"),
    Message("user", "zqsecond"),
)
"""A chat in which every message is found again."""

_ROLES = {
    "zqtask": "task",
    "zqfirst": "question",
    "zqanswer": "earlier answers",
    "zqsecond": "question",
}
_NOW = re.compile(r"strftime_now\(\s*(['\"])(.*?)\1\s*\)")
_OPEN_THOUGHT = re.compile(r"<(think|thinking|thought|reasoning)>\s*\Z")


class ChatTemplate:
    """Writes chats by a tokenizer's template; the task joins the first question where it has no
    place of its own.

    `end`: the text of the control token that ends a turn of the assistant, None if there is none.

    Args:
        tokenizer: of transformers, with a template.
        control_tokens: texts of its control tokens.
        name: what the user calls the model.
        options: what every rendering is told.

    Raises PolicyError if the template refuses chats, or does not show one of the messages.
    """

    def __init__(
        self,
        tokenizer: Any,
        control_tokens: tuple[str, ...],
        name: str,
        options: Mapping[str, object],
    ) -> None:
        self._tokenizer = tokenizer
        self._options = {
            **options,
            "tokenize": False,
            "add_generation_prompt": True,
            "chat_template": _of_one_day(tokenizer.get_chat_template(), name),
        }
        self._joins = not self._shows_all(joins=False)
        if self._joins:
            log.info(
                "the chat template of %s has no place for the task: it is put before the first"
                " question",
                name,
            )
        marked = self._rendered(MARKED, joins=self._joins)
        missing = left_out(marked)
        if missing is not None:
            raise PolicyError(
                f"the chat template of {name!r} does not show the {missing}; use template=plain or"
                " mend it"
            )
        asked = self._rendered(MARKED[:2], joins=self._joins)
        before, after = marked.split("zqanswer", 1)
        self.end = next(
            (token for token in control_tokens if after.lstrip().startswith(token)), None
        )
        header = before.removeprefix(asked) if before.startswith(asked) else ""
        self._header = header if any(token in header for token in control_tokens) else ""

    def text(self, chat: Chat) -> str:
        """The chat up to where the answer begins: after the header that answers have in the
        template, as channels are.

        A thought that the template opens is ended, empty: the model is asked for an answer, not for
        what it thinks.
        """
        return thought_ended(self._rendered(chat, joins=self._joins) + self._header)

    def _shows_all(self, *, joins: bool) -> bool:
        import jinja2

        try:
            text = self._tokenizer.apply_chat_template(
                as_messages(MARKED, joins=joins), **self._options
            )
        except jinja2.TemplateError:
            return False
        return left_out(text) is None

    def _rendered(self, chat: Chat, *, joins: bool) -> str:
        import jinja2

        try:
            text: str = self._tokenizer.apply_chat_template(
                as_messages(chat, joins=joins), **self._options
            )
        except jinja2.TemplateError as error:
            raise PolicyError(
                f"the model's chat template refuses the chat: {first_line(error)}"
            ) from error
        return text


def _of_one_day(template: str, name: str) -> str:
    """The template with the present time, wherever it is asked for, replaced by `DAY`.

    Raises PolicyError if the format of the time is not written out, so that it cannot be replaced.
    """
    fixed = _NOW.sub(lambda call: repr(DAY.strftime(call.group(2))), template)
    if "strftime_now(" in fixed:
        raise PolicyError(
            f"the chat template of {name!r} puts in the present time; write a fixed one there, or"
            " use template=plain"
        )
    return fixed


def left_out(text: str) -> str | None:
    """What a rendering of MARKED does not show; None if it shows all."""
    missing = (message.content for message in MARKED if message.content not in text)
    return next((_ROLES[content] for content in missing), None)


def thought_ended(text: str) -> str:
    """The text; a thought that is open at its end is ended, empty."""
    thought = _OPEN_THOUGHT.search(text)
    return text if thought is None else f"{text.rstrip()}\n\n</{thought.group(1)}>\n\n"


def as_messages(chat: Chat, *, joins: bool) -> list[dict[str, str]]:
    """A chat as templates are given it; `joins`: the task is put before the first question."""
    messages = [{"role": message.role, "content": message.content} for message in chat]
    if not joins or len(messages) < 2 or messages[0]["role"] != "system":
        return messages
    task, question, *rest = messages
    return [{"role": "user", "content": f"{task['content']}\n\n{question['content']}"}, *rest]
