"""The prompts that the viewer puts together again are those that the engine was asked, word by
word, whatever the env, the reading and the history.
"""

import msgspec
import pytest
from markupsafe import escape

from valueagents.contracts.policy import AskedChats
from valueagents.policies.elicitation import read_elicitation
from valueagents.policies.engines import Engine, GenerateReply, ScoreReply
from valueagents.policies.language import language_policy
from valueagents.running.start import run
from valueagents.viewer.prompts import asked_at
from valueagents.viewer.shelf import Shelf
from valueagents.viewer.site import Site


class ListeningEngine(Engine):
    """Keeps what it is asked, one decision after the other; likes every option alike, says A."""

    live = 1
    can = frozenset({"score", "generate", "choices"})

    def __init__(self):
        self.heard = []

    def identity(self):
        return {"engine": "listening/1"}

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        pass

    async def score(self, request):
        self.heard += [tuple((each.role, each.content) for each in chat) for chat in request.chats]
        texts = request.continuations
        return ScoreReply(((-1.0,) * len(texts),) * len(request.chats), (1,) * len(texts), 1, 0)

    async def generate(self, request):
        self.heard.append(tuple((each.role, each.content) for each in request.chat))
        return GenerateReply(
            "Answer: A" if "Answer:" in self.heard[-1][-1][1] else "A", "stop", 1, 0, 1
        )


def played(env, out, episodes=2, **options):
    engine = ListeningEngine()
    policy = language_policy(engine, read_elicitation(options))
    return run(env, policy, out, episodes=episodes, seed=3), engine.heard


CASES = {
    "label": {},
    "label in one order": {"rotations": "none"},
    "label with none of these": {"neither": "true"},
    "likelihood": {"reading": "likelihood", "normaliser": "pmi"},
    "likelihood alone": {"reading": "likelihood", "normaliser": "sum", "beside": "free"},
    "say": {"reading": "say"},
    "say with reasons": {"reading": "say", "reasoning": "true"},
    "a persona": {"persona": "HED-1"},
    "one prompt": {"prompt": "choose-2"},
}


@pytest.mark.parametrize("case", CASES)
def test_the_chats_of_dilemmas_are_those_that_the_engine_was_asked(case, out):
    done, heard = played("valueagents/Dilemma-v0", out, 3, **CASES[case])
    told = [
        chat
        for episode in done.store.episodes()
        for step in range(len(episode.decisions))
        for chat in asked_at(done.header, episode, step).chats
    ]
    assert told == heard
    assert len(told) >= 3


@pytest.mark.parametrize("env", ["Survey", "Judgement"])
def test_the_chats_of_ratings_and_verdicts_are_those_that_the_engine_was_asked(env, out):
    done, heard = played(f"valueagents/{env}-v0", out, 3)
    episodes = list(done.store.episodes())
    assert [c for e in episodes for c in asked_at(done.header, e, 0).chats] == heard


@pytest.mark.parametrize("options", [{"reading": "say"}, {"reading": "say", "history": "6"}])
def test_the_chats_of_a_game_hold_the_turns_before(options, out):
    done, heard = played("valueagents/ChoiceScript-v0", out, 1, **options)
    (episode,) = done.store.episodes()
    steps = range(len(episode.decisions))
    assert [c for step in steps for c in asked_at(done.header, episode, step).chats] == heard
    assert len(heard) > 10
    assert max(map(len, heard)) > 8


def test_a_prompt_whose_words_have_changed_since_is_not_told(out):
    done, _ = played("valueagents/Dilemma-v0", out, 1)
    (episode,) = done.store.episodes()
    assert asked_at(done.header, episode, 0).chats
    for changes, why in (
        ({"prompt": f"{episode.decisions[0].choice.prompt} 0000"}, "have changed"),
        ({"prompt": "nonsense"}, "have changed"),
        ({"preamble": "0" * 32}, "is not recorded"),
        ({"reading": "label/0"}, "is not known here"),
    ):
        identity = {**done.header.policy_identity, **changes}
        header = msgspec.structs.replace(done.header, policy_identity=identity)
        found = asked_at(header, episode, 0)
        assert found.chats == ()
        assert why in found.why_not
    other = msgspec.structs.replace(done.header, policy_identity={"policy": "random"})
    assert asked_at(other, episode, 0) is None


def test_a_prompt_file_that_a_run_names_is_not_opened(out, tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text("not a prompt")
    done, _ = played("valueagents/Dilemma-v0", out, 1)
    (episode,) = done.store.episodes()
    first = episode.decisions[0]
    choice = msgspec.structs.replace(first.choice, prompt=str(file))
    changed = (msgspec.structs.replace(first, choice=choice),)
    hostile = msgspec.structs.replace(episode, decisions=changed)
    found = asked_at(done.header, hostile, 0)
    assert isinstance(found, AskedChats)
    assert "is not here" in found.why_not


def test_the_page_of_a_decision_shows_the_prompt_and_the_reply(out):
    done, heard = played("valueagents/Dilemma-v0", out, 1, reading="say")
    shelf = Shelf(out.parent)
    (found,) = shelf.known()
    identity = next(done.store.episodes()).identity
    html = Site(shelf).page(f"episode/{found.key}/{identity}/0.html", {}).html
    assert "The prompt as the model saw it" in html
    for _, text in heard[0]:
        assert f"<pre>{escape(text)}</pre>" in html
    assert "<summary>Raw reply</summary><pre>A</pre>" in html
