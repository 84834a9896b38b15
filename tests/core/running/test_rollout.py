"""Rollout: plans and identities, what a policy is shown, deadlines, failures as data."""

import asyncio
import itertools
import subprocess
import sys
import threading
from collections import Counter

import msgspec
import numpy as np
import pytest

from valueagents.contracts.decision import (
    Annotation,
    Choice,
    Event,
    Factor,
    Option,
    episode_from_json,
    to_json,
)
from valueagents.contracts.environment import Turn, ValueEnv
from valueagents.contracts.policy import Exchange, InformedPolicy, Policy
from valueagents.errors import ConfigError, PolicyError
from valueagents.policies.scripted import FirstPolicy, RandomPolicy
from valueagents.running.rollout import (
    MAX_FAILURES_IN_A_ROW,
    Plan,
    env_identity,
    plan_episodes,
    roll_out,
)
from valueagents.taxonomy import load_taxonomy

MARK = "xyzzy-plugh"
ROOMS = ("hall", "cellar", "garden")


class Rooms(ValueEnv):
    """Three rooms one after another; option ids, annotations and factors carry a mark that no
    policy may see.
    """

    taxonomy = load_taxonomy("jiminy")
    factors = (
        Factor("room", f"Which room, {MARK}."),
        Factor("mood", f"Of {MARK}.", (f"calm {MARK}", "wild")),
    )
    task = "Find the garden."
    version = "1"
    inline = True

    def __init__(self, items: tuple[str, ...] = tuple("abcdefgh")) -> None:
        self.items = items
        super().__init__(max_menu=3)

    def situations(self):
        return self.items

    def start(self, situation):
        self.room = 0
        return self.look(situation=situation, cluster="house")

    def advance(self, option):
        self.room += option.id.endswith("go")
        over = self.room == len(ROOMS)
        return self.look(reward=1.5, events=(Event("good_self", 2.0, MARK),), terminated=over)

    def look(self, **fields):
        if self.room == len(ROOMS):
            return Turn("Pears!", **fields)
        menu = [
            Option(f"{MARK}-go", f"Leave the {ROOMS[self.room]}."),
            Option(f"{MARK}-stay", "Stay a while."),
        ]
        values = [{"good_self": 0.1234567}, {"bad_self": -0.7654321}]
        order = self.np_random.permutation(2)
        annotation = Annotation(
            self.taxonomy.name, tuple(values[k] for k in order), f"by {MARK}", f"scaled by {MARK}"
        )
        text = f"{ROOMS[self.room]}, {self.np_random.integers(1000)}"
        levels = {"room": f"{MARK} {ROOMS[self.room]}", "mood": f"calm {MARK}"}
        return Turn(text, tuple(menu[k] for k in order), annotation, factors=levels, **fields)


class Recording(RandomPolicy):
    def __init__(self):
        self.views = []

    async def decide(self, view):
        self.views.append(view)
        return await super().decide(view)


class Informed(InformedPolicy):
    def __init__(self):
        self.seen = []

    def identity(self):
        return {"policy": "informed"}

    async def decide_informed(self, view, annotation):
        self.seen.append((view, annotation))
        return Choice(view.menu[0].id, "argmax")


class Scripted(Policy):
    """Answers what a function makes of the view and the env's situation, which stands in its
    text.
    """

    def __init__(self, answer):
        self.answer = answer

    def identity(self):
        return {"policy": "scripted"}

    async def decide(self, view):
        answer = self.answer(view)
        return await answer if asyncio.iscoroutine(answer) else answer


class Named(Rooms):
    """One decision an episode; the text is the situation."""

    def start(self, situation):
        return Turn(
            str(situation), (Option("x", "Take it."), Option("y", "Leave it.")), situation=situation
        )

    def advance(self, option):
        return Turn("done", terminated=True)


class Kept:
    """A sink that keeps everything."""

    def __init__(self):
        self.episodes, self.failures = [], []

    def episode(self, episode):
        self.episodes.append(episode)

    def failure(self, failure):
        self.failures.append(failure)


def play(make, policy, *, episodes=None, seed=0, live=1, timeout_s=5.0, attempts=None) -> Kept:
    plans = plan_episodes("test/Env-v0", make(), policy, seed=seed, episodes=episodes)
    sink = Kept()

    async def run() -> None:
        async with policy as entered:
            await roll_out(
                make, entered, plans, sink, live=live, timeout_s=timeout_s, attempts=attempts
            )

    asyncio.run(run())
    return sink


def first(view) -> Choice:
    return Choice(view.menu[0].id, "argmax")


def plans(episodes=None, *, env=None, policy=None, seed=0, env_id="test/Env-v0") -> list[Plan]:
    return plan_episodes(
        env_id, env or Rooms(), policy or RandomPolicy(), seed=seed, episodes=episodes
    )


def test_a_plan_meets_every_situation_once_and_then_all_again():
    planned = plans(20)
    assert [p.repetition for p in planned] == [0] * 8 + [1] * 8 + [2] * 4
    assert (
        sorted(p.situation for p in planned[:8])
        == sorted(p.situation for p in planned[8:16])
        == list("abcdefgh")
    )
    assert len(plans()) == 8


def test_a_longer_plan_begins_with_the_shorter_one():
    assert plans(30)[:5] == plans(5)
    assert plans(0) == []


def test_identities_and_env_seeds_never_repeat():
    planned = plans(2000)
    assert len({p.identity for p in planned}) == len({p.env_seed for p in planned}) == 2000
    assert all(0 <= p.env_seed < 2**63 for p in planned)


def test_two_policies_meet_the_same_episodes_under_other_identities():
    random, first_ = plans(20), plans(20, policy=FirstPolicy())
    assert [(p.situation, p.repetition, p.env_seed) for p in random] == [
        (p.situation, p.repetition, p.env_seed) for p in first_
    ]
    assert not {p.identity for p in random} & {p.identity for p in first_}


@pytest.mark.parametrize(
    "other",
    [
        lambda: plans(20, seed=1),
        lambda: plans(20, env_id="test/Other-v0"),
        lambda: plans(20, env=type("Rooms", (Rooms,), {"version": "2"})()),
        lambda: plans(20, env=type("Rooms", (Rooms,), {"task": "Find the door."})()),
        lambda: plans(20, env=type("Rooms", (Rooms,), {"taxonomy": load_taxonomy("gert10")})()),
        lambda: plans(
            20, env=type("Rooms", (Rooms,), {"content": lambda self: {"word": "pear"}})()
        ),
    ],
    ids=["seed", "id", "version", "task", "taxonomy", "content"],
)
def test_whatever_decides_what_is_met_decides_the_identity(other):
    assert not {p.identity for p in plans(20)} & {p.identity for p in other()}


def test_an_env_without_situations_counts_repetitions_and_wants_a_number():
    planned = plans(3, env=Rooms(()))
    assert [(p.situation, p.repetition) for p in planned] == [(None, 0), (None, 1), (None, 2)]
    assert len({p.env_seed for p in planned}) == 3
    with pytest.raises(
        ConfigError,
        match="'test/Env-v0' does not enumerate its situations; say how many --episodes",
    ):
        plans(env=Rooms(()))


def test_env_identity_holds_content_and_names_and_no_path():
    identity = env_identity("test/Env-v0", Rooms())
    assert (identity["env"], identity["version"], identity["taxonomy"]) == (
        "test/Env-v0",
        "1",
        "jiminy/1",
    )
    assert set(identity) == {"env", "version", "task", "taxonomy", "content"}


def test_every_plan_becomes_an_episode_with_all_its_decisions():
    policy = Recording()
    sink = play(Rooms, policy, episodes=8)
    assert sink.failures == []
    assert {e.identity for e in sink.episodes} == {p.identity for p in plans(8)}
    for episode in sink.episodes:
        went = [d.choice.option == f"{MARK}-go" for d in episode.decisions]
        assert (sum(went), went[-1]) == (3, True)
        assert (episode.outcome, episode.final_observation, episode.cluster) == (
            "terminated",
            "Pears!",
            "house",
        )
        assert all(
            d.reward == 1.5 and d.events == (Event("good_self", 2.0, MARK),)
            for d in episode.decisions
        )
        assert (episode.attempt, episode.duration_s > 0) == (1, True)
        assert all(d.choice.latency_s >= 0 for d in episode.decisions)


def test_the_cluster_is_the_envs_else_the_situation_else_the_episode():
    assert {e.cluster for e in play(Named, FirstPolicy()).episodes} == set("abcdefgh")
    nameless = play(lambda: Named(()), FirstPolicy(), episodes=3).episodes
    assert [e.cluster for e in nameless] == [e.identity for e in nameless]


def bare(menu):
    return tuple(Option("", option.text) for option in menu)


def test_no_mark_of_an_annotation_reaches_a_view_and_ids_stand_in_the_menu_only():
    policy = Recording()
    sink = play(Rooms, policy, episodes=8)
    assert any(view.transcript for view in policy.views)
    for view in policy.views:
        everything = msgspec.json.encode(view).decode() + repr(view)
        assert not any(
            word in everything
            for word in (f"by {MARK}", "0.1234567", "0.7654321", "good_self", "jiminy")
        )
        turns = tuple(
            msgspec.structs.replace(turn, menu=bare(turn.menu)) for turn in view.transcript
        )
        no_ids = msgspec.structs.replace(view, menu=bare(view.menu), transcript=turns)
        assert MARK not in msgspec.json.encode(no_ids).decode() + repr(no_ids)
    for decision in (decision for episode in sink.episodes for decision in episode.decisions):
        assert MARK in decision.annotation.provenance
        assert all(MARK in level for level in decision.factors.values())


def test_an_informed_policy_gets_the_annotation_of_the_menu_before_it():
    policy = Informed()
    sink = play(Rooms, policy, episodes=4)
    assert [annotation for _, annotation in policy.seen] == [
        d.annotation for e in sink.episodes for d in e.decisions
    ]
    for view, annotation in policy.seen:
        goes = view.menu[0].id.endswith("go")
        assert annotation.values[0 if goes else 1] == {"good_self": 0.1234567}
        assert MARK in annotation.provenance
        assert MARK not in view.observation
        assert "calm" not in msgspec.json.encode([view, annotation]).decode()


def test_a_decision_records_the_factors_of_the_turn_whose_menu_it_answers():
    (episode,) = play(lambda: Rooms(("a",)), Scripted(first_go)).episodes
    assert [d.factors["room"] for d in episode.decisions] == [f"{MARK} {room}" for room in ROOMS]
    assert {d.factors["mood"] for d in episode.decisions} == {f"calm {MARK}"}


def test_a_refused_answer_has_the_factors_of_the_menu_that_it_missed():
    policy = Scripted(
        lambda view: Choice("no-such-id", "parsed") if not view.transcript else first_go(view)
    )
    (episode,) = play(lambda: Rooms(("a",)), policy).episodes
    assert [d.factors["room"].split()[1] for d in episode.decisions] == ["hall", *ROOMS]


@pytest.mark.parametrize(
    ("levels", "words"),
    [
        (
            {"rom": "hall"},
            (
                "unknown factor 'rom'. Did you mean 'room'? Its level is 'hall'; declare the"
                " factor, or leave"
            ),
        ),
        (
            {"room": "hall", "mood": "wilde"},
            "unknown level of factor 'mood' 'wilde'. Did you mean 'wild'? Declared: ",
        ),
    ],
)
def test_a_factor_or_level_that_the_env_does_not_declare_is_an_env_error_before_anybody_is_asked(
    levels, words
):
    class Loose(Named):
        def start(self, situation):
            turn = super().start(situation)
            return msgspec.structs.replace(turn, factors=levels) if situation == "b" else turn

    policy = Recording()
    sink = play(Loose, policy)
    assert (len(sink.episodes), len(policy.views)) == (7, 7)
    assert [(f.situation, f.error, f.step) for f in sink.failures] == [("b", "EnvError", 0)]
    assert sink.failures[0].message.startswith(words)


def test_a_covariate_that_the_env_does_not_declare_is_an_env_error_and_no_decision():
    class Loose(Named):
        def start(self, situation):
            turn = super().start(situation)
            count = len(turn.menu)
            marks = Annotation("jiminy", ({},) * count, "test", "sign", {"coins": (1.0,) * count})
            return msgspec.structs.replace(turn, annotation=marks) if situation == "b" else turn

    sink = play(Loose, Recording())
    assert [(f.situation, f.error, f.step) for f in sink.failures] == [("b", "EnvError", 0)]
    assert sink.failures[0].message.startswith("unknown covariate 'coins'")


def test_an_identity_does_not_depend_on_the_schema_of_the_record_nor_on_factors():
    bare = type("Rooms", (Rooms,), {"factors": ()})
    assert plans(20, env=bare()) == plans(20)
    assert plans(1)[0].identity == "c5f9fbe633a9eac65cdca87c5fee1a39"  # as schema 1 made it


def test_the_transcript_grows_by_what_was_seen_and_the_text_of_what_was_done():
    policy = Recording()
    (episode,) = play(lambda: Rooms(("a",)), policy).episodes
    steps = [
        Exchange(d.observation, d.menu[d.chosen].text, d.menu, d.chosen) for d in episode.decisions
    ]
    assert len(steps) >= 3
    assert [view.transcript for view in policy.views] == [
        tuple(steps[:n]) for n in range(len(steps))
    ]
    assert [view.observation for view in policy.views] == [step.observation for step in steps]
    assert {view.task for view in policy.views} == {"Find the garden."}


def test_every_decision_has_a_seed_of_its_own_that_is_the_same_next_time():
    one, other = Recording(), Recording()
    assert [e.decisions for e in map(undated, play(Rooms, one, episodes=16).episodes)] == [
        e.decisions for e in map(undated, play(Rooms, other, episodes=16).episodes)
    ]
    seeds = [view.seed for view in one.views]
    assert seeds == [view.seed for view in other.views]
    assert len(set(seeds)) == len(seeds)


def undated(episode):
    """An episode without its wall-clock times."""
    decisions = tuple(
        msgspec.structs.replace(d, choice=msgspec.structs.replace(d.choice, latency_s=0.0))
        for d in episode.decisions
    )
    return msgspec.structs.replace(episode, decisions=decisions, duration_s=0.0)


@pytest.mark.parametrize("inline", [True, False])
def test_episodes_do_not_depend_on_how_many_are_in_flight(inline):
    class Slow(RandomPolicy):
        async def decide(self, view):
            await asyncio.sleep((view.seed % 5) / 5000)
            return await super().decide(view)

    env = type("Env", (Rooms,), {"inline": inline})
    alone, many = play(env, RandomPolicy(), episodes=16), play(env, Slow(), episodes=16, live=7)
    assert [e.identity for e in many.episodes] != [e.identity for e in alone.episodes]
    assert {e.identity: undated(e) for e in many.episodes} == {
        e.identity: undated(e) for e in alone.episodes
    }


def test_no_more_than_live_episodes_are_in_flight_and_all_that_many_are():
    now, most = 0, 0

    async def wait(view):
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.002)
        now -= 1
        return first(view)

    sink = play(Named, Scripted(wait), episodes=20, live=4)
    assert (most, len(sink.episodes)) == (4, 20)


def test_an_env_off_the_loop_keeps_to_one_thread_and_is_closed_on_it():
    touched: list[tuple[int, int]] = []
    closed = threading.Event()

    class Threaded(Named):
        inline = False

        def start(self, situation):
            touched.append((id(self), threading.get_ident()))
            return super().start(situation)

        def close(self):
            touched.append((id(self), threading.get_ident()))
            closed.set()

    play(lambda: Threaded(), FirstPolicy())
    assert closed.wait(5)
    playing = [pair for pair in touched if pair[1] != threading.get_ident()]
    assert len(set(playing)) == 1
    assert len(playing) == 9


def test_a_policy_that_raises_for_some_situations_fails_those_and_plays_the_rest():
    def answer(view):
        if view.observation in "bf":
            raise LookupError(f"no answer to {view.observation}")
        return first(view)

    sink = play(Named, Scripted(answer))
    assert Counter(e.situation for e in sink.episodes) == Counter("acdegh")
    assert sorted((f.situation, f.error, f.message, f.step, f.attempt) for f in sink.failures) == [
        ("b", "LookupError", "no answer to b", 0, 1),
        ("f", "LookupError", "no answer to f", 0, 1),
    ]


def test_a_failure_says_at_which_decision_and_attempt():
    def answer(view):
        if len(view.transcript) == 2:
            raise PolicyError("lost")
        return Choice(next(o.id for o in view.menu if o.id.endswith("go")), "argmax")

    identity = plan_episodes("test/Env-v0", Rooms(("a",)), Scripted(first), seed=0, episodes=None)[
        0
    ].identity
    sink = play(lambda: Rooms(("a",)), Scripted(answer), attempts={identity: 4})
    assert [(f.step, f.attempt, f.error) for f in sink.failures] == [(2, 5, "PolicyError")]
    assert (
        play(lambda: Rooms(("a",)), Scripted(first_go), attempts={identity: 1}).episodes[0].attempt
        == 2
    )


def first_go(view) -> Choice:
    return Choice(next(o.id for o in view.menu if o.id.endswith("go")), "argmax")


def test_a_policy_that_does_not_answer_in_time_fails_its_episode_only():
    async def answer(view):
        if view.observation == "c":
            await asyncio.sleep(60)
        return first(view)

    sink = play(Named, Scripted(answer), timeout_s=0.05, live=2)
    assert len(sink.episodes) == 7
    assert [(f.situation, f.error, f.message) for f in sink.failures] == [
        ("c", "TimeoutError", "no answer within 0.05 s")
    ]


def test_an_error_without_words_is_not_taken_for_a_time_out():
    def answer(view):
        if view.observation == "c":
            raise AssertionError
        return first(view)

    (failure,) = play(Named, Scripted(answer)).failures
    assert failure.error == "AssertionError"
    assert "no answer within" not in failure.message


@pytest.mark.parametrize("answer", ["x", None, 3])
def test_a_policy_that_answers_no_choice_fails(answer):
    sink = play(lambda: Named(("a",)), Scripted(lambda view: answer))
    assert (len(sink.episodes), len(sink.failures)) == (0, 1)


@pytest.mark.parametrize("option", [None, "no-such-id", "", "Leave the hall."])
def test_three_answers_that_are_not_on_the_menu_truncate_the_episode(option):
    policy = Scripted(lambda view: Choice(option, "parsed" if option else "refused", raw="mumble"))
    (episode,) = play(lambda: Rooms(("a",)), policy).episodes
    assert episode.outcome == "truncated"
    assert [(d.choice.option, d.chosen, d.reward, d.events) for d in episode.decisions] == [
        (option, None, 0.0, ())
    ] * 3
    assert all(d.invalid for d in episode.decisions)
    assert len({d.observation for d in episode.decisions}) == 1


def test_what_was_not_on_the_menu_stands_as_nothing_in_the_transcript():
    seen: list[tuple[Exchange, ...]] = []

    def answer(view):
        seen.append(view.transcript)
        return Choice("no-such-id", "parsed") if not view.transcript else first_go(view)

    (episode,) = play(lambda: Rooms(("a",)), Scripted(answer)).episodes
    assert episode.outcome == "terminated"
    assert seen[1][0].action == "(nothing: the answer was not on the menu)"


def test_an_env_that_raises_costs_its_episode_and_is_not_used_again():
    made: list[Rooms] = []

    class Fragile(Named):
        def start(self, situation):
            assert not getattr(self, "broke", False)
            if situation == "d":
                self.broke = True
                raise OSError("the engine died")
            return super().start(situation)

    def make():
        made.append(Fragile())
        return made[-1]

    sink = play(make, FirstPolicy())
    assert len(sink.episodes) == 7
    assert [(f.situation, f.error, f.message) for f in sink.failures] == [
        ("d", "OSError", "the engine died")
    ]
    assert len(made) == 1 + 1 + 1  # to plan with, to play in, and after the death


def test_a_running_episode_with_an_empty_menu_is_an_env_error():
    class Empty(Named):
        def start(self, situation):
            return Turn("nothing to do", ())

    (failure,) = play(lambda: Empty(("a",)), FirstPolicy()).failures
    assert (failure.error, failure.message) == (
        "EnvError",
        "the episode goes on but its menu is empty",
    )


@pytest.mark.parametrize("where", ["start", "advance"])
def test_an_env_that_hangs_is_left_at_the_deadline(where):
    free = threading.Event()

    class Hangs(Named):
        inline = False

        def start(self, situation):
            self.now = situation
            if where == "start" and situation == "e":
                free.wait(30)
            return super().start(situation)

        def advance(self, option):
            if where == "advance" and self.now == "e":
                free.wait(30)
            return super().advance(option)

    sink = play(Hangs, FirstPolicy(), timeout_s=0.1)
    free.set()
    assert len(sink.episodes) == 7
    assert [(f.situation, f.error, f.message) for f in sink.failures] == [
        ("e", "TimeoutError", "no answer within 0.1 s")
    ]


HANGING = """
import asyncio, sys, time
from valueagents.contracts.decision import Option
from valueagents.contracts.environment import Turn, ValueEnv
from valueagents.policies.scripted import FirstPolicy
from valueagents.running.rollout import plan_episodes, roll_out
from valueagents.taxonomy import load_taxonomy

class Hangs(ValueEnv):
    taxonomy, task, version = load_taxonomy("jiminy"), "Wait.", "1"
    def __init__(self):
        super().__init__(max_menu=1)
    def situations(self):
        return ("quick", "stuck", "slow")
    def start(self, situation):
        if situation == "stuck":
            time.sleep(3600)
        return Turn(situation, (Option("x", "Go."),), situation=situation)
    def advance(self, option):
        return Turn("", terminated=True)

class Printed:
    def episode(self, episode):
        print("played", episode.situation)
    def failure(self, failure):
        print("failed", failure.situation, failure.error)

policy = FirstPolicy()
plans = plan_episodes("test/Hangs-v0", Hangs(), policy, seed=0, episodes=None)
asyncio.run(roll_out(Hangs, policy, plans, Printed(), live=1, timeout_s=0.1))
"""


def test_a_process_ends_although_an_env_of_its_run_hangs_for_ever():
    done = subprocess.run(
        [sys.executable, "-c", HANGING], capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(done.stdout.splitlines()) == [
        "failed stuck TimeoutError",
        "played quick",
        "played slow",
    ]


def never(view):
    raise LookupError(f"no answer to {view.observation}")


@pytest.mark.parametrize("live", [1, 5])
def test_twenty_failures_in_a_row_stop_the_rollout_with_a_policy_error(live):
    sink = Kept()
    policy = Scripted(never)
    planned = plan_episodes("test/Env-v0", Named(), policy, seed=0, episodes=100)
    with pytest.raises(
        PolicyError, match="20 episodes in a row failed, the last with LookupError: no answer to "
    ):
        asyncio.run(roll_out(Named, policy, planned, sink, live=live, timeout_s=5))
    assert 20 <= len(sink.failures) < 20 + live  # those in flight at the twentieth are kept too
    assert (sink.episodes, MAX_FAILURES_IN_A_ROW) == ([], 20)


def test_nineteen_failures_in_a_row_stop_nothing():
    asked = itertools.count()

    def answer(view):
        return first(view) if next(asked) % 20 == 19 else never(view)

    sink = play(Named, Scripted(answer), episodes=60)
    assert (len(sink.failures), len(sink.episodes)) == (57, 3)


def test_nothing_to_play_plays_nothing():
    assert play(Named, FirstPolicy(), episodes=0).episodes == []


def test_more_places_than_plans_do_no_harm():
    assert len(play(Named, FirstPolicy(), episodes=2, live=50).episodes) == 2


def test_an_env_that_cannot_be_made_again_is_a_failure_and_not_a_crash():
    made = itertools.count()

    class Dies(Named):
        def start(self, situation):
            raise OSError("the engine died")

    def make():
        if next(made):
            raise OSError("no more sockets")
        return Dies()

    sink = Kept()
    asyncio.run(roll_out(make, FirstPolicy(), plans(3, env=Named()), sink, live=1, timeout_s=5))
    assert [f.message for f in sink.failures] == [
        "the engine died",
        "no more sockets",
        "no more sockets",
    ]


NAN = float("nan")


def odd(**fields):
    return Scripted(lambda view: Choice(view.menu[0].id, "drawn", **fields))


def odd_turn(**fields):
    class Odd(Named):
        def advance(self, option):
            return Turn("done", terminated=True, **fields)

    return lambda: Odd(("a",))


def odd_annotation(*values):
    class Odd(Named):
        def start(self, situation):
            turn = super().start(situation)
            return msgspec.structs.replace(
                turn, annotation=Annotation("jiminy/1", values, "by hand", "sign")
            )

    return lambda: Odd(("a",))


@pytest.mark.parametrize(
    ("make", "policy"),
    [
        (lambda: Named(("a",)), odd(probabilities=(NAN, NAN))),
        (lambda: Named(("a",)), odd(probabilities=(1.0,))),
        (lambda: Named(("a",)), odd(position_probabilities=(NAN, 1.0))),
        (lambda: Named(("a",)), odd(raw="half a pair: \ud83e")),
        (odd_turn(reward=NAN), FirstPolicy()),
        (odd_turn(reward=float("inf")), FirstPolicy()),
        (odd_turn(events=(Event("good_self", NAN, "x"),)), FirstPolicy()),
        (odd_annotation({"good_self": 2.0}, {}), FirstPolicy()),
        (odd_annotation({"god_self": 1.0}, {}), FirstPolicy()),
        (odd_annotation({"good_self": 1.0}), FirstPolicy()),
    ],
    ids=[
        "nan p",
        "short p",
        "nan position p",
        "surrogate",
        "nan reward",
        "inf reward",
        "nan event",
        "two",
        "axis",
        "K",
    ],
)
def test_what_a_store_could_not_read_again_is_a_failure_before_it_is_written(make, policy):
    sink = play(make, policy)
    assert len(sink.episodes) + len(sink.failures) == 1
    for episode in sink.episodes:
        (decision,) = episode_from_json(to_json(episode)).decisions
        assert np.isfinite(decision.reward)
        assert len(decision.choice.probabilities or decision.menu) == len(decision.menu)
        if decision.annotation is not None:
            assert decision.annotation.array(load_taxonomy("jiminy")).shape == (
                len(decision.menu),
                4,
            )
