"""ServedSpeaker: a vLLM server as the truth check asks it (`engines/spoken.py`)."""

import secrets
from collections.abc import Callable, Sequence

import msgspec

from valueagents.errors import PolicyError
from valueagents.policies.engines.chats import Tokens
from valueagents.policies.engines.openai.bodies import counted
from valueagents.policies.engines.openai.client import Client, together
from valueagents.policies.engines.openai.completions import (
    AS_IT_IS,
    Completion,
    checked_logprob,
    read_completion,
    score_sequence,
)
from valueagents.policies.engines.spoken import Rows

_TOKEN = "token_id:"  # noqa: S105 – the beginning of vLLM's names of tokens, not a secret


class ServedSpeaker:
    """Says and scores tokens over HTTP.

    Args:
        url: of the server's completions.
        served_as: the name that an adapter, or the model, is served under.
    """

    def __init__(self, client: Client, url: str, served_as: Callable[[str | None], str]) -> None:
        self._client, self._url, self._served_as = client, url, served_as

    async def say(
        self, prompt: Tokens, count: int, adapter: str | None
    ) -> tuple[Tokens, Sequence[float]]:
        """That many tokens drawn at temperature 1, and the log-probability of each."""
        body = {**AS_IT_IS, "model": self._served_as(adapter), "prompt": prompt, "seed": 0}
        body |= {"max_tokens": count, "ignore_eos": True, "cache_salt": _salt()}
        body |= {"logprobs": 0, "return_tokens_as_token_ids": True}
        answer = await self._client.post(self._url, body, read_completion)
        return _said(answer.value, count)

    async def score(
        self, prompts: Sequence[Tokens], answers: Sequence[Tokens], adapter: str | None
    ) -> Rows:
        """As a question is scored."""
        return await self._score(prompts, answers, adapter, plainly=False)

    async def score_plainly(
        self, prompts: Sequence[Tokens], answers: Sequence[Tokens], adapter: str | None
    ) -> Rows:
        """With a salt for every sequence, so that no other one's cache is read."""
        return await self._score(prompts, answers, adapter, plainly=True)

    async def _score(
        self,
        prompts: Sequence[Tokens],
        answers: Sequence[Tokens],
        adapter: str | None,
        *,
        plainly: bool,
    ) -> Rows:
        model = self._served_as(adapter)
        asked = [
            score_sequence(
                self._client,
                self._url,
                model,
                prompt + answer[:-1],
                [answer],
                salt=_salt() if plainly else None,
            )
            for prompt in prompts
            for answer in answers
        ]
        found = await together(asked)
        width = len(answers)
        return [
            [found[row * width + k].logprobs[answer] for k, answer in enumerate(answers)]
            for row in range(len(prompts))
        ]


def _said(completion: Completion, count: int) -> tuple[Tokens, Sequence[float]]:
    """The tokens that were said and their log-probabilities.

    Raises PolicyError if the server does not tell them.
    """
    told = completion.choices[0].logprobs
    try:
        names, numbers = msgspec.convert(
            (told.tokens, told.token_logprobs) if told else None,
            tuple[list[str], list[float | None]],
        )
    except msgspec.ValidationError:
        names, numbers = [], []
    ids = [name.removeprefix(_TOKEN) for name in names]
    if len(ids) != count or len(numbers) != count or not all(each.isdecimal() for each in ids):
        raise PolicyError(
            "the server does not tell the tokens that it says and their log-probabilities; it needs"
            " vLLM 0.32 or later"
        )
    return tuple(counted(int(each)) for each in ids), [checked_logprob(each) for each in numbers]


def _salt() -> str:
    return secrets.token_hex(8)
