"""What a language model was asked at a decision, put together again from what a run records.

A run keeps what was shown and the prompt's id, not whole prompts; its header has the hash of every
word of the prompt. So the chats are known exactly, if the prompt here is still the same, and what
stood before the task is known. What a model's chat template makes of a chat is not part of it.
"""

from collections.abc import Mapping

import msgspec

from valueagents.contracts.decision import Choice
from valueagents.contracts.policy import AskedChats, View
from valueagents.identity import content_hash
from valueagents.policies.engines import Chat
from valueagents.policies.prompts import Prompt, load_prompt, personas, prompt_names

POLICY_VERSION = "language/2"


def asked_chats(identity: Mapping[str, str], view: View, choice: Choice) -> AskedChats | None:
    """The chats of a decision by a language-model policy of that identity, or why they are not
    known; None for another policy.
    """
    if identity.get("policy") != POLICY_VERSION:
        return None
    before = _preamble(identity)
    if before is None:
        return AskedChats(why_not="what stood before the task (system=FILE) is not recorded")
    if identity.get("reading") == "sentences/1":
        return AskedChats(why_not="nothing was asked: each sentence was read by itself")
    prompt = _prompt(identity, choice.prompt)
    if prompt is None:
        return AskedChats(why_not=f"prompt {choice.prompt} is not here, or its words have changed")
    task = f"{before}\n\n{view.task}" if before else view.task
    shown = msgspec.structs.replace(
        view, task=task, transcript=view.transcript[choice.dropped_turns :]
    )
    chats = _chats(identity, prompt, shown, choice)
    if not chats:
        return AskedChats(why_not=f"reading {identity.get('reading')} is not known here")
    told = (tuple((message.role, message.content) for message in chat) for chat in chats)
    return AskedChats(chats=tuple(told))


def _chats(
    identity: Mapping[str, str], prompt: Prompt, view: View, choice: Choice
) -> tuple[Chat, ...]:
    """As the reading modes put them; none for a reading of another version or package."""
    neither = "neither" in identity
    match identity.get("reading"):
        case "label/1" | "top/1":
            turns = range(len(view.menu) if identity.get("rotations") == "all" else 1)
            orders = [view.menu[turn:] + view.menu[:turn] for turn in turns]
            return tuple(prompt.listing(view, order, neither=neither) for order in orders)
        case "likelihood/2":
            without = "pmi" in (identity.get("normaliser"), *choice.beside)
            question = prompt.open_question(view)
            return (question, prompt.neutral_question(view)) if without else (question,)
        case "say/3" | "say/4" | "say/5" | "say/6" if view.free_text:
            return (prompt.free(view),)
        case "say/3" | "say/4" | "say/5" | "say/6":  # the same words, read otherwise
            reasoning = identity.get("how") == "reasoning"
            return (prompt.spoken(view, reasoning=reasoning, neither=neither),)
        case "sample/1":  # reply by reply in another order
            replies = int(identity["replies"]) if identity.get("rotations") == "all" else 1
            turns = range(min(replies, len(view.menu)))
            menus = [view.menu[turn:] + view.menu[:turn] for turn in turns]
            reasoning = identity.get("how") == "reasoning"
            views = [msgspec.structs.replace(view, menu=menu) for menu in menus]
            return tuple(prompt.spoken(each, reasoning=reasoning) for each in views)
    return ()


def _prompt(identity: Mapping[str, str], name: str | None) -> Prompt | None:
    """The prompt of that id, if it has the words that the identity's hash is of. An id is looked up
    among the known ones only: it comes from a file that anybody may have written.
    """
    hashes = dict(
        part.split(" ", 1) for part in identity.get("prompt", "").split(", ") if " " in part
    )
    if name is None or name not in prompt_names():
        return None
    found = load_prompt(name)
    return found if hashes.get(name) == found.hash() else None


def _preamble(identity: Mapping[str, str]) -> str | None:
    """What stood before the task, "" for nothing; None where only its hash is known."""
    told = identity.get("preamble", "none")
    if told == "none":
        return ""
    return next((each.text for each in personas() if content_hash(each.text) == told), None)
