"""ServedTokenizer: chats and texts become the tokens that the server itself makes of them."""

import re
from collections.abc import Sequence
from typing import TypeVar

from valueagents.errors import PolicyError, PromptTooLong
from valueagents.policies.engines.chats import TEMPLATE_OPTIONS, Tokens
from valueagents.policies.engines.engine import Chat
from valueagents.policies.engines.openai.bodies import read_text, read_tokens
from valueagents.policies.engines.openai.client import Client, TimedAnswer, together
from valueagents.policies.engines.openai.served import Served
from valueagents.policies.engines.template import as_messages

K = TypeVar("K", str, Chat)

_REMEMBERED = 1_024
_LIKE_CONTROL = re.compile(r"<[^<>\s]{1,64}>|\[[^\[\]\s]{1,64}\]")


class ServedTokenizer:
    """Asks POST /tokenize, and remembers what was asked last.

    `attempts` of an answer is 1 if it was remembered.
    """

    def __init__(self, client: Client, root: str, served: Served) -> None:
        self._client, self._root, self._served = client, root, served
        self._texts: dict[str, TimedAnswer[Tokens]] = {}
        self._chats: dict[Chat, TimedAnswer[Tokens]] = {}
        self._control: dict[str, bool] = {}

    async def prompt(self, chat: Chat) -> TimedAnswer[Tokens]:
        """The tokens of a chat up to where the answer begins.

        Raises PolicyError as `texts` does, and for a chat of no messages.
        """
        if not chat:
            raise PolicyError(
                "a server does not tell its model's start token, after which a sentence by itself"
                " is read; use the model with transformers: or vllm:"
            )
        if chat not in self._chats:
            await self._refuse_control_tokens([message.content for message in chat])
            found = await self._prompt(chat)
            if not found.value:
                raise PolicyError(
                    "the chat has no tokens: the model's chat template makes nothing of it"
                )
            _remember(self._chats, chat, found)
            return found
        return self._chats[chat]

    async def texts(self, texts: Sequence[str]) -> list[TimedAnswer[Tokens]]:
        """The tokens of answers. Raises PolicyError if one has none, or holds one of the control
        tokens.
        """
        if all(
            text in self._texts for text in texts
        ):  # letters always are: no tasks for what is known
            return [self._texts[text] for text in texts]
        return await together([self._text(text) for text in texts])

    async def _text(self, text: str) -> TimedAnswer[Tokens]:
        if text not in self._texts:
            await self._refuse_control_tokens([text])
            found = await self._ask({"prompt": text, "add_special_tokens": False})
            if not found.value:
                raise PolicyError("an option has no tokens: its text is empty for this tokenizer")
            _remember(self._texts, text, found)
            return found
        return self._texts[text]

    def fit(self, prompt: int, answer: int) -> None:
        """Raise PromptTooLong if this many tokens are more than the window."""
        window = self._served.window
        if window and prompt + answer > window:
            raise PromptTooLong(
                f"a prompt of {prompt} tokens and an answer of {answer} do not fit the model's"
                f" window of {window}; nothing is cut in silence"
            )

    async def _prompt(self, chat: Chat) -> TimedAnswer[Tokens]:
        """The tokens that the in-process engines make: see `ChatTokenizer.prompt`."""
        template = self._served.template
        if template is None:
            text = "\n\n".join(message.content for message in chat) + "\n"
            return await self._ask({"prompt": text, "add_special_tokens": True})
        rendered = await self._ask(
            {
                "messages": as_messages(chat, joins=template.joins),
                "add_generation_prompt": True,
                "chat_template_kwargs": TEMPLATE_OPTIONS,
            }
        )
        if template.as_rendered:
            return rendered
        told = {"model": self._served.model, "tokens": rendered.value}
        text = (await self._client.post(f"{self._root}/detokenize", told, read_text)).value
        return await self._ask({"prompt": template.finished(text), "add_special_tokens": False})

    async def _refuse_control_tokens(self, texts: list[str]) -> None:
        for text in texts:
            for candidate in _LIKE_CONTROL.findall(text):
                if await self._is_control(candidate):
                    raise PolicyError(
                        f"the text holds the model's control token {candidate!r}; it would rewrite"
                        " the chat"
                    )

    async def _is_control(self, text: str) -> bool:
        """Whether the tokenizer always takes the text for one token.

        The server does not list its control tokens. Unlike a frequent piece of text they stay whole
        between letters and between brackets, where a byte-pair merge would join them with their
        neighbours.
        """
        if text not in self._control:
            alone = (await self._ask({"prompt": text, "add_special_tokens": False})).value
            found = False
            if len(alone) == 1:
                around = await self._ask(
                    {"prompt": f"a{text}b<{text}>[{text}]", "add_special_tokens": False}
                )
                found = around.value.count(alone[0]) == 3
            if len(self._control) >= _REMEMBERED:
                del self._control[next(iter(self._control))]
            self._control[text] = found
        return self._control[text]

    async def _ask(self, body: dict[str, object]) -> TimedAnswer[Tokens]:
        return await self._client.post(
            f"{self._root}/tokenize", {"model": self._served.model, **body}, read_tokens
        )


def _remember(memory: dict[K, TimedAnswer[Tokens]], key: K, found: TimedAnswer[Tokens]) -> None:
    """Keep the tokens, not what it took to get them; forget the oldest."""
    if len(memory) >= _REMEMBERED:
        del memory[next(iter(memory))]
    memory[key] = TimedAnswer(found.value, 1, 0.0)
