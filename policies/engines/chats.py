"""Chats become tokens, alike for every engine in this process: the model's template, and no control
tokens in texts.
"""

import logging
from collections.abc import Sequence
from typing import Any

from valueagents.errors import PolicyError, PromptTooLong
from valueagents.policies.engines.engine import Chat, Message, ScoreRequest
from valueagents.policies.engines.template import DAY, ChatTemplate
from valueagents.policies.models import ModelFiles

log = logging.getLogger("valueagents")

TEMPLATE_OPTIONS: dict[str, Any] = {
    "enable_thinking": False,  # Qwen3's template: the answer follows at once
    "date_string": f"{DAY:%d %b %Y}",  # Llama 3's template would put today's date into the prompt
}

ANY_CHAT = (
    Message("system", "You meet situations that call for a decision. In each, decide what you do."),
    Message(
        "user",
        "A neighbour's cat sits in the rain; the last seat on the bus is yours or hers. A, B or C?",
    ),
)
"""Its tokens are those that checks make their texts of."""

Tokens = tuple[int, ...]


class ChatTokenizer:
    """A model's tokenizer and chat template.

    `window` is how many tokens the model takes, 0 = it does not say.

    `plain`: no template, messages one after another – as is done for models that have none.
    """

    def __init__(self, files: ModelFiles, *, plain: bool = False) -> None:
        import transformers

        with files.loading("the tokenizer of"):
            self._tokenizer: Any = transformers.AutoTokenizer.from_pretrained(files.folder)
        self.window, self._vocabulary = files.window(), int(files.config().vocab_size)
        self._tokenizer.chat_template = self._tokenizer.chat_template or files.chat_template_json()
        named = set(self._tokenizer.all_special_tokens)
        unnamed = {
            str(token) for token in self._tokenizer.added_tokens_decoder.values() if token.special
        }
        self._control_tokens = tuple(
            sorted(named | unnamed, key=lambda token: (-len(token), token))
        )
        self._template: ChatTemplate | None = None
        if self._tokenizer.chat_template is None and not plain:
            log.warning(
                "%s has no chat template: messages are put one after another, as plain texts",
                files.name,
            )
        elif not plain:
            self._template = ChatTemplate(
                self._tokenizer, self._control_tokens, files.name, TEMPLATE_OPTIONS
            )

    @property
    def end_token(self) -> int | None:
        """The token that ends an answer: the one that ends a turn in the template, else the
        tokenizer's.
        """
        if self._template is not None and self._template.end is not None:
            return int(self._tokenizer.convert_tokens_to_ids(self._template.end))
        found: int | None = self._tokenizer.eos_token_id
        return found

    @property
    def end_tokens(self) -> frozenset[int]:
        """All tokens after which nothing is part of an answer."""
        return frozenset(
            token for token in (self.end_token, self._tokenizer.eos_token_id) if token is not None
        )

    def encode(self, request: ScoreRequest) -> tuple[list[Tokens], list[Tokens]]:
        """The tokens of every chat and of every continuation.

        Raises PolicyError for a text that holds control tokens or makes no tokens, for answers that
        are alike as tokens or unknown, or a prompt longer than the window.
        """
        prompts = [self.prompt(chat) for chat in request.chats]
        answers = [self.answer(text) for text in request.continuations]
        refuse_alike(request.continuations, answers)
        self.fit(max(map(len, prompts)) + max(map(len, answers)) - 1)
        return prompts, answers

    def prompt(self, chat: Chat) -> Tokens:
        """The tokens of a chat up to where the answer begins; of no messages, the start token."""
        if not chat:
            return self._start()
        self._refuse_control_tokens([message.content for message in chat])
        if self._template is None:
            text = "\n\n".join(message.content for message in chat) + "\n"
            found = tuple(self._tokenizer(text).input_ids)
        else:
            found = tuple(
                self._tokenizer(self._template.text(chat), add_special_tokens=False).input_ids
            )
        if not found:
            raise PolicyError(
                "the chat has no tokens: the model's chat template makes nothing of it"
            )
        self._refuse_unknown(found)
        return found

    def _start(self) -> Tokens:
        """The token before a text that nothing precedes: bos, or eos for models that part texts by
        it, as GPT-2 does.

        Raises PolicyError if the tokenizer has neither.
        """
        found = self._tokenizer.bos_token_id
        found = self._tokenizer.eos_token_id if found is None else found
        if found is None:
            raise PolicyError(
                "the model's tokenizer has no start token, so a sentence by itself has no beginning"
                " to be read from; name bos_token in its tokenizer_config.json"
            )
        return (int(found),)

    def answer(self, text: str) -> Tokens:
        """The tokens of a text as the assistant's answer."""
        self._refuse_control_tokens([text])
        found = tuple(self._tokenizer(text, add_special_tokens=False).input_ids)
        if not found:
            raise PolicyError("an option has no tokens: its text is empty for this tokenizer")
        if set(found) == {self._tokenizer.unk_token_id}:
            raise PolicyError(
                f"the answer {text!r} is unknown to the model's vocabulary; use reading=likelihood"
            )
        self._refuse_unknown(found)
        return found

    def fit(self, tokens: int) -> None:
        """Raise PromptTooLong if this many tokens are more than the window."""
        if self.window and tokens >= self.window:
            raise PromptTooLong(
                f"prompt of {tokens} tokens, the model's window is {self.window}; nothing is cut in"
                " silence"
            )

    def text(self, tokens: Sequence[int]) -> str:
        """The text of generated tokens, without control tokens."""
        return str(self._tokenizer.decode(tokens, skip_special_tokens=True))

    def _refuse_control_tokens(self, texts: Sequence[str]) -> None:
        """Raise PolicyError if a text holds one: the tokenizer would read it as the end of a
        message, say.
        """
        for text in texts:
            for token in self._control_tokens:
                if token in text:
                    raise PolicyError(
                        f"the text holds the model's control token {token!r}; it would rewrite the"
                        " chat"
                    )

    def _refuse_unknown(self, tokens: Tokens) -> None:
        """Raise PolicyError for a token for which the model has no embedding: its tokenizer is
        another model's.
        """
        largest = max(tokens)
        if largest >= self._vocabulary:
            raise PolicyError(
                f"the tokenizer gives token {largest}, the model knows only {self._vocabulary}; use"
                " its own tokenizer"
            )


def refuse_alike(texts: Sequence[str], answers: Sequence[Tokens]) -> None:
    """Raise PolicyError for different answers that are the same tokens: they would be equally
    probable.
    """
    first: dict[Tokens, str] = {}
    for text, tokens in zip(texts, answers, strict=True):
        other = first.setdefault(tokens, text)
        if other != text:
            raise PolicyError(
                f"the answers {other!r} and {text!r} are the same to the model's tokenizer"
            )
