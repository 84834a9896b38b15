"""Reading mode `say`: the model answers in words, and the words are read."""

from collections.abc import Sequence
from string import ascii_uppercase

import msgspec

from valueagents.contracts.decision import Choice, HowRead
from valueagents.contracts.policy import View
from valueagents.errors import ConfigError, PolicyError
from valueagents.policies.engines import WITHHELD, Engine, GenerateRequest, Sampling
from valueagents.policies.readings.mode import Question, ReadingMode
from valueagents.policies.readings.parsing import parse, parse_cut
from valueagents.policies.readings.tidy import without_thought


class SayReading(ReadingMode):
    """The model speaks and its words are read (`parsing.py`); the options are listed in the shown
    order.
    """

    class Options(Sampling, frozen=True, kw_only=True):
        """How the model speaks.

        Args:
            reasoning: ask it to think in words first and to end with a line "Answer: …".
            constrained: allow nothing but one of the letters, where the engine can hold it to that.
            neither: offer "none of these" below the menu; taken, it is no choice, and is counted.
        """

        reasoning: bool = False
        constrained: bool = False
        neither: bool = False

        def sampling(self) -> Sampling:
            """What the engine must know of it."""
            return Sampling(self.temperature, self.top_p, self.top_k, self.max_tokens)

    def __init__(self, options: Options | None = None) -> None:
        options = options or self.Options()
        super().__init__(options)
        if options.reasoning and options.constrained:
            raise ConfigError("constrained=true leaves no room for reasoning=true; choose one")
        self._sampling = options.sampling()
        self._reasoning, self._constrained = options.reasoning, options.constrained
        self._neither = options.neither
        self.needs = ("generate", "choices") if options.constrained else ("generate",)

    def identity(self) -> dict[str, str]:
        """Name and every setting."""
        sampling = ", ".join(
            f"{name} {value:g}" for name, value in msgspec.structs.asdict(self._sampling).items()
        )
        how = "reasoning" if self._reasoning else "constrained" if self._constrained else "plain"
        offered = {"neither": "offered"} if self._neither else {}
        return {"reading": "say/6", "sampling": sampling, "how": how, **offered}

    async def choose(self, engine: Engine, asked: Question) -> Choice:
        """What the reply names; `reading` says if it was as asked (parsed), else understood
        (repaired), or not.
        """
        view = asked.view
        if view.free_text and self._constrained:
            raise PolicyError(
                "an env of free text has no letters to be held to; use constrained=false"
            )
        chat = (
            asked.prompt.free(view)
            if view.free_text
            else asked.prompt.spoken(view, reasoning=self._reasoning, neither=self._neither)
        )
        count = len(view.menu) + self._neither
        letters = tuple(ascii_uppercase[:count]) if self._constrained else ()
        request = GenerateRequest(chat, self._sampling, view.seed % 2**63, letters, asked.adapter)
        reply = await engine.generate(request)
        cut = reply.finish_reason == "length"
        if reply.finish_reason in WITHHELD:
            choice = Choice(None, "refused", parsed_by=reply.finish_reason)
        elif view.free_text:
            choice = _free(reply.text, cut=cut)
        else:
            below = [asked.prompt.neither] if self._neither else []
            choice = read_listed(reply.text, view, below, cut=cut, reasoning=self._reasoning)
        return msgspec.structs.replace(
            choice,
            raw=reply.text,
            finish_reason=reply.finish_reason,
            prompt_tokens=reply.prompt_tokens,
            cached_tokens=reply.cached_tokens,
            output_tokens=reply.output_tokens,
            queue_s=reply.queue_s,
            attempts=reply.attempts,
            replayed=reply.replayed,
        )


def read_listed(
    text: str, view: View, below: Sequence[str], *, cut: bool, reasoning: bool
) -> Choice:
    """The option that a reply names, by whichever rule; if it was cut, in the form asked for
    only. `below` the menu stands, if anything, that none of it is taken.
    """
    texts = [*(option.text for option in view.menu), *below]
    offered = 0.0 if below else None
    parsed = parse_cut(text, texts, reasoning=reasoning) if cut else parse(text, texts)
    if parsed.index is None:
        unread: HowRead = "refused" if parsed.rule == "refusal" else "failed"
        return Choice(None, unread, parsed_by=parsed.rule, neither=offered)
    if parsed.index == len(view.menu):
        return Choice(None, "abstained", parsed_by=parsed.rule, neither=1.0)
    reading: HowRead = "parsed" if parsed.rule == "letter" else "repaired"
    return Choice(view.menu[parsed.index].id, reading, parsed_by=parsed.rule, neither=offered)


def _free(text: str, *, cut: bool) -> Choice:
    """The first line that says something, without a prompt sign; a line that was cut is not a
    command.
    """
    said = without_thought(text)
    lines = [line.strip().lstrip(">").strip() for line in (said or "").splitlines() if line.strip()]
    line = lines[0] if len(lines) > cut else None
    return Choice(None, "failed" if not line else "parsed", text=line or None)
