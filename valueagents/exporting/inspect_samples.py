"""An episode as a sample of Inspect: a transcript, a score for each value, and the record itself.

Ids and times are made from the run, so that two exports of it are alike: an event happens as many
seconds after the run began as the episode's decisions before it took.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec

from valueagents.contracts.decision import Decision, Episode, Failure
from valueagents.contracts.plugins import PolicyFamily
from valueagents.contracts.policy import Exchange
from valueagents.identity import content_hash
from valueagents.running.header import RunHeader
from valueagents.running.inspect_log import EPISODE_KEY, FAILURE_KEY
from valueagents.running.rollout import exchange
from valueagents.viewer.prompts import asked_at

if TYPE_CHECKING:
    from inspect_ai.event import InfoEvent, ModelEvent
    from inspect_ai.log import EvalSample
    from inspect_ai.model import ChatMessage, ModelOutput, ModelUsage

_STOPS = {"stop": "stop", "length": "max_tokens", "content_filter": "content_filter"}
_STOPS["refusal"] = "content_filter"
_LONGEST_NAME = 200


@dataclass(frozen=True, slots=True)
class LoggedRun:
    """What every sample of a log needs of its run: the header, when it began, and the families of
    policies, one of which may know what a model was asked.
    """

    header: RunHeader
    began: datetime
    families: Sequence[PolicyFamily]


def sample_name(episode: Episode | Failure) -> str:
    """What the sample is called: the situation, and which meeting with it from the second on; of an
    env that enumerates none the episode's identity.

    Names become names of files within a log, so long ones give way to the identity, too.
    """
    situation = episode.situation
    if situation is None or not 0 < len(situation.encode()) <= _LONGEST_NAME or "\0" in situation:
        return episode.identity
    return f"{situation} ({episode.repetition + 1})" if episode.repetition else situation


def sample_of(
    run: LoggedRun, name: str, episode: Episode, values: Mapping[str, float]
) -> "EvalSample":
    """The sample of a finished episode; `values` are its scores by axis, NaN unscored."""
    from inspect_ai.event import Event
    from inspect_ai.log import EvalSample
    from inspect_ai.model import ModelOutput
    from inspect_ai.scorer import Score

    events: list[Event] = []
    seconds = 0.0
    for step, decision in enumerate(episode.decisions):
        seconds += decision.choice.latency_s
        when = {"timestamp": run.began + timedelta(seconds=seconds), "working_start": seconds}
        events += [_offer(episode, step, when), _model_event(run, episode, step, when)]
    last = events[-1] if events else None
    asked = [] if last is None else list(last.input)
    output = ModelOutput() if last is None else last.output
    answer = output.completion if len(episode.decisions) == 1 else None
    usage = [event.output.usage for event in events[1::2]]
    return EvalSample(
        id=name,
        epoch=1,
        uuid=episode.identity,
        input=[each for each in events[1].input if each.role == "user"] if events else "",
        target="",
        messages=[*asked, *([] if last is None else [output.message])],
        output=output,
        events=events,
        scores={axis: Score(value=value, answer=answer) for axis, value in values.items()},
        metadata=_metadata(episode),
        store={EPISODE_KEY: msgspec.to_builtins(episode)},
        model_usage={run.header.policy: sum(usage[1:], usage[0])} if usage else {},
        started_at=run.began.isoformat(),
        completed_at=(run.began + timedelta(seconds=seconds)).isoformat(),
        total_time=episode.duration_s,
        working_time=seconds,
    )


def failed_sample(run: LoggedRun, name: str, failure: Failure) -> "EvalSample":
    """The sample of an episode that failed: its error, and no score."""
    from inspect_ai.log import EvalError, EvalSample

    message = f"{failure.error} at decision {failure.step + 1}: {failure.message}"
    return EvalSample(
        id=name,
        epoch=1,
        uuid=failure.identity,
        input="",
        target="",
        metadata={"identity": failure.identity, "attempt": failure.attempt, "outcome": "failed"},
        store={FAILURE_KEY: msgspec.to_builtins(failure)},
        started_at=run.began.isoformat(),
        error=EvalError(message=message, traceback="", traceback_ansi=""),
    )


def moment(told: str | None) -> datetime:
    """A time as sessions tell it; the beginning of 1970 where none is told."""
    try:
        found = datetime.fromisoformat(told or "")
    except ValueError:
        return datetime.fromtimestamp(0, UTC)
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def _metadata(episode: Episode) -> dict[str, Any]:
    annotated = [each.annotation for each in episode.decisions if each.annotation is not None]
    first = episode.decisions[0].factors if episode.decisions else {}
    return {
        "identity": episode.identity,
        "situation": episode.situation,
        "repetition": episode.repetition,
        "cluster": episode.cluster,
        "env_seed": episode.env_seed,
        "outcome": episode.outcome,
        "attempt": episode.attempt,
        "decisions": len(episode.decisions),
        "chosen": ", ".join(each.choice.option or "none" for each in episode.decisions),
        "annotation": "; ".join(dict.fromkeys(each.provenance for each in annotated)),
        **{f"factor.{name}": level for name, level in first.items()},
    }


def _offer(episode: Episode, step: int, when: Mapping[str, Any]) -> "InfoEvent":
    """What was on offer at a decision and what it means; none of it was shown with values."""
    from inspect_ai.event import InfoEvent

    decision = episode.decisions[step]
    probabilities: Sequence[float | None] = decision.choice.probabilities or ()
    values = decision.annotation.values if decision.annotation is not None else ()
    options = [
        {
            "id": option.id,
            "text": option.text,
            "p": probabilities[k] if k < len(probabilities) else None,
            "values": dict(values[k]) if k < len(values) else None,
        }
        for k, option in enumerate(decision.menu)
    ]
    told = {"step": step, "options": options, "chosen": decision.choice.option}
    further = {"reading": decision.choice.reading, "invalid": decision.invalid}
    return InfoEvent(
        source="valueagents",
        data={**told, **further},
        uuid=content_hash(episode.identity, step, "offer"),
        **when,
    )


def _model_event(
    run: LoggedRun, episode: Episode, step: int, when: Mapping[str, Any]
) -> "ModelEvent":
    from inspect_ai.event import ModelEvent
    from inspect_ai.model import GenerateConfig

    header = run.header
    asked = asked_at(header, episode, step, run.families)
    chats = asked.chats if asked is not None else ()
    told: dict[str, Any] = {"step": step, "asked": "as the model was asked"}
    if len(chats) > 1:
        told["asked"] = f"the first of {len(chats)} prompts, which list the options in other orders"
    if not chats:
        told["asked"] = "what was shown; " + (
            (asked.why_not if asked is not None else None) or "no language model was asked"
        )
    chat = chats[0] if chats else _shown_chat(header.task, episode.decisions[: step + 1])
    choice = episode.decisions[step].choice
    told["said"] = "the raw reply" if choice.raw is not None else "nothing: the option it came to"
    return ModelEvent(
        model=header.policy,
        input=_messages(episode.identity, chat),
        tools=[],
        tool_choice="auto",
        config=GenerateConfig(),
        output=_output(header.policy, episode, step),
        metadata=told,
        uuid=content_hash(episode.identity, step, "model"),
        **when,
    )


def _output(model: str, episode: Episode, step: int) -> "ModelOutput":
    from inspect_ai.model import ChatCompletionChoice, ChatMessageAssistant, ModelOutput

    decision = episode.decisions[step]
    choice = decision.choice
    said = choice.raw if choice.raw is not None else exchange(decision).action
    message = ChatMessageAssistant(
        id=content_hash(episode.identity, step, "reply"), content=said, source="generate"
    )
    stop = "stop" if choice.finish_reason is None else _STOPS.get(choice.finish_reason, "unknown")
    return ModelOutput(
        model=model,
        choices=[ChatCompletionChoice(message=message, stop_reason=stop)],
        usage=_usage(decision),
        time=choice.latency_s,
    )


def _usage(decision: Decision) -> "ModelUsage":
    from inspect_ai.model import ModelUsage

    choice = decision.choice
    return ModelUsage(
        input_tokens=choice.prompt_tokens,
        output_tokens=choice.output_tokens,
        total_tokens=choice.prompt_tokens + choice.output_tokens,
        input_tokens_cache_read=choice.cached_tokens,
    )


def _shown_chat(task: str, decisions: Sequence[Decision]) -> list[tuple[str, str]]:
    """What a policy was shown until the last of the decisions, in no model's words."""
    chat = [("system", task)] if task else []
    for decision in decisions[:-1]:
        before: Exchange = exchange(decision)
        chat += [("user", before.observation), ("assistant", before.action)]
    listing = "\n".join(f"- {option.text}" for option in decisions[-1].menu)
    seen = decisions[-1].observation
    return [*chat, ("user", f"{seen}\n\n{listing}" if listing else seen)]


def _messages(identity: str, chat: Sequence[tuple[str, str]]) -> "list[ChatMessage]":
    """The messages; one that stands at the same place in two prompts has one id."""
    from inspect_ai.model import ChatMessageAssistant, ChatMessageSystem, ChatMessageUser

    kinds = {
        "system": ChatMessageSystem,
        "user": ChatMessageUser,
        "assistant": ChatMessageAssistant,
    }
    return [
        kinds[role](id=content_hash(identity, place, role, text), content=text)
        for place, (role, text) in enumerate(chat)
    ]
