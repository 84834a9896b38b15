"""The prompt of a decision as the model saw it, where the package that asked can put it together
again.
"""

from collections.abc import Sequence

from valueagents.contracts.decision import Episode
from valueagents.contracts.plugins import POLICY_FAMILIES, PolicyFamily, loadable
from valueagents.contracts.policy import AskedChats, View
from valueagents.errors import ValueAgentsError
from valueagents.running.header import RunHeader
from valueagents.running.rollout import exchange


def families() -> list[PolicyFamily]:
    """The installed families of policies, one of which may know what a policy of its own asked."""
    return [family() for family in loadable(POLICY_FAMILIES, PolicyFamily).values()]


def asked_at(
    header: RunHeader, episode: Episode, step: int, among: Sequence[PolicyFamily] | None = None
) -> AskedChats | None:
    """What was asked at a decision, or why that is not known; None for what is not a language
    model. Whoever asks of many decisions finds the `families` once and says `among` which.
    """
    decision = episode.decisions[step]
    view = View(
        task=header.task,
        transcript=tuple(exchange(earlier) for earlier in episode.decisions[:step]),
        observation=decision.observation,
        menu=decision.menu,
        seed=0,
        free_text=decision.choice.text is not None,
        asks=header.asks,
    )
    for family in families() if among is None else among:
        found: AskedChats | None
        try:
            found = family.asked(header.policy_identity, view, decision.choice)
        except ValueAgentsError as error:  # what a run holds need not fit the prompt that it names
            found = AskedChats(why_not=str(error))
        if found is not None and episode.shown is not None and found.chats:
            return AskedChats(why_not="what came before it stands in the pool, not in the run")
        if found is not None:
            return found
    return None
