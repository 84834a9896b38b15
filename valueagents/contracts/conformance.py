"""`check_value_env`: does anybody's env keep the promises of `ValueEnv`? `valueagents check ENV`
prints the answers.
"""

import json
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast, get_args

import gymnasium
import msgspec
import numpy as np
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import SyncVectorEnv

from valueagents.contracts.check_pace import FEWEST_STEPS, MAX_STEPS, CheckPace
from valueagents.contracts.decision import Asks, Choice, Decision, Episode, Menu, check_episode
from valueagents.contracts.environment import MAX_INVALID_IN_A_ROW, ValueEnv
from valueagents.contracts.plugins import make_env
from valueagents.files.covariates import covariate_declaration_problem, covariate_problem
from valueagents.files.factors import declaration_problem, level_problem
from valueagents.identity import content_hash

MAX_SITUATIONS = 2_000

MakeEnv = Callable[[], ValueEnv]


class Check(msgspec.Struct, frozen=True):
    """One promise, and how it is broken (None = kept). `shortened` says what was left out of the
    test because the env is slow (None = nothing).
    """

    promise: str
    problem: str | None
    shortened: str | None = None


def check_value_env(make: MakeEnv) -> list[Check]:
    """Put an env to every promise of the contract; `make` gives a new env each call.

    Nothing is raised for a broken promise: each check says what went wrong, so that one run shows
    all there is to mend.
    """
    return list(checks_of_value_env(make))


def checks_of_value_env(make: MakeEnv) -> Iterator[Check]:
    """The same one by one, as they are done."""
    promises: list[tuple[str, Callable[[MakeEnv, CheckPace], None]]] = [
        ("gymnasium's own check_env passes", _gymnasium),
        ("two envs in a SyncVectorEnv step together", _vector),
        ("menus have unique ids and texts and fit the action space", _menus),
        ("annotations fit the menu and the taxonomy and survive JSON", _annotations),
        ("factors are declared once, and a menu has no other factor or level", _factors),
        ("a wrong action is refused, moves nothing, and the third in a row truncates", _invalid),
        ("same seed, same actions: same transcript", _deterministic),
        ("situations are unique, and a walk meets each once", _situations),
        ("restoring a snapshot gives the same future", _snapshots),
        (
            "trying options moves nothing, draws nothing, and says the same of the same state",
            _trying,
        ),
    ]
    pace = CheckPace(_step_s(make))
    for promise, test in promises:
        pace.begin()
        try:
            test(make, pace)
        except Exception as error:  # a stranger's env may raise anything, and that is the finding
            problem = f"{type(error).__name__}: {error}".strip().splitlines()[0]
            yield Check(promise, problem, pace.shortened)
        else:
            yield Check(promise, None, pace.shortened)


def _step_s(make: MakeEnv) -> float:
    """The seconds that a step of an env takes; 0 where it cannot be played."""
    try:
        env, started = make(), time.monotonic()
        _play(env, 0, FEWEST_STEPS)
    except Exception:  # a stranger's env may raise anything
        return 0.0
    return (time.monotonic() - started) / (FEWEST_STEPS + 1)


def check_other_process(env_id: str, options: Mapping[str, object]) -> Check:
    """The same seed and actions give the same transcript in a process with another hash seed."""
    pace = CheckPace(_step_s(lambda: make_env(env_id, **options)))
    promise = "another process writes the same transcript"
    code = (
        "import json, sys; from valueagents.contracts.conformance import transcript_hash; from"
        " valueagents.contracts.plugins import make_env; env_id, options, steps ="
        " json.loads(sys.argv[1]); print(transcript_hash(make_env(env_id, **options), seed=7,"
        " steps=steps))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "12345"}
    done = subprocess.run(  # noqa: S603 – our own interpreter and code; the id and options are data
        [sys.executable, "-c", code, json.dumps([env_id, dict(options), pace.steps])],
        env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        return Check(promise, (done.stderr.strip().splitlines() or ["it died without a word"])[-1])
    here = transcript_hash(make_env(env_id, **options), seed=7, steps=pace.steps)
    same = done.stdout.strip() == here
    return Check(
        promise,
        (
            None
            if same
            else (
                "the transcripts differ: something depends on the process (set order, time, a"
                " global)"
            )
        ),
        pace.shortened,
    )


def transcript_hash(env: ValueEnv, *, seed: int, steps: int = MAX_STEPS) -> str:
    """The hash of everything an episode of seeded random actions shows, in so many steps."""
    return content_hash(_play(env, seed, steps))


def _play(env: ValueEnv, seed: int, steps: int, *, annotations: bool = True) -> list[object]:
    """What an episode shows, with or without its annotations, as JSON-like data."""
    rng = np.random.default_rng(seed)
    text, info = env.reset(seed=seed)
    shown: list[object] = [_shown(text, info, annotations=annotations)]
    for _ in range(steps):
        if not info["menu"]:
            break
        text, reward, terminated, truncated, info = env.step(int(rng.integers(len(info["menu"]))))
        shown.append(
            [_shown(text, info, annotations=annotations), float(reward), terminated, truncated]
        )
        if terminated or truncated:
            break
    return shown


def _shown(text: str, info: dict[str, object], *, annotations: bool = True) -> object:
    annotation = info["annotation"] if annotations else None
    return msgspec.to_builtins(
        [
            text,
            info["menu"],
            annotation,
            info["factors"],
            info["events"],
            info["situation"],
            info["invalid"],
        ]
    )


def _gymnasium(make: MakeEnv, pace: CheckPace) -> None:
    with warnings.catch_warnings():
        # check_env wants a registered spec to try render modes; an env under development may have
        # none yet.
        warnings.filterwarnings("ignore", message=".*alternative render modes.*")
        check_env(make())


def _vector(make: MakeEnv, pace: CheckPace) -> None:
    vector = SyncVectorEnv([make, make])
    try:
        observations, _ = vector.reset(seed=3)
        _require(len(observations) == 2, "reset gave no observation for each env")
        vector.step(np.zeros(2, dtype=np.int64))
    finally:
        vector.close()


def _menus(make: MakeEnv, pace: CheckPace) -> None:
    env = make()
    questions = get_args(Asks)
    _require(env.asks in questions, f"asks is {env.asks!r}, not one of {', '.join(questions)}")
    for seed in pace.seeds(20):
        _, info = env.reset(seed=seed)
        for _ in range(pace.steps):
            menu = info["menu"]
            _require(
                0 < len(menu) <= env.max_menu,
                f"a menu of {len(menu)} in an action space of {env.max_menu}",
            )
            _require(
                len({o.id for o in menu}) == len(menu), f"option ids repeat: {[o.id for o in menu]}"
            )
            _require(
                len({o.text for o in menu}) == len(menu),
                f"option texts repeat: {[o.text for o in menu]}",
            )
            _require(all(o.text.strip() for o in menu), "an option has no text")
            _, _, terminated, truncated, info = env.step(seed % len(menu))
            if terminated or truncated:
                break


def _annotations(make: MakeEnv, pace: CheckPace) -> None:
    env = make()
    problem = covariate_declaration_problem(env.covariates)
    _require(problem is None, str(problem))
    for seed in pace.seeds(5):
        rng = np.random.default_rng(seed)
        text, info = env.reset(seed=seed)
        for _ in range(pace.steps):
            menu: Menu = info["menu"]
            if not menu:
                break
            decision = Decision(
                text, menu, Choice(menu[0].id, "argmax"), info["annotation"], events=info["events"]
            )
            covariates = info["annotation"].covariates if info["annotation"] else {}
            problem = covariate_problem(covariates, len(menu), env.covariates)
            _require(problem is None, str(problem))
            check_episode(
                Episode("0", info["situation"], 0, 1, "c", (decision,), "terminated"), env.taxonomy
            )
            text, _, terminated, truncated, info = env.step(int(rng.integers(len(menu))))
            if terminated or truncated:
                break


def _factors(make: MakeEnv, pace: CheckPace) -> None:
    env = make()
    problem = declaration_problem(env.factors)
    _require(problem is None, str(problem))
    for seed in pace.seeds(5):
        rng = np.random.default_rng(seed)
        _, info = env.reset(seed=seed)
        for _ in range(pace.steps):
            levels = info["factors"]
            _require(
                all(isinstance(level, str) for level in levels.values()),
                f"levels are texts, not {levels}",
            )
            problem = level_problem(levels, env.factors)
            _require(problem is None, str(problem))
            if not info["menu"]:
                break
            _, _, terminated, truncated, info = env.step(int(rng.integers(len(info["menu"]))))
            if terminated or truncated:
                break


def _invalid(make: MakeEnv, pace: CheckPace) -> None:
    env = make()
    text, info = env.reset(seed=2)
    wrong: list[object] = [None, 10**9, "open the door"]
    if "open the door" in cast(
        "gymnasium.Space[Any]", env.action_space
    ):  # an env of free text refuses other things
        wrong[-1] = "\x00"
    for count, action in enumerate(wrong, 1):
        again, reward, terminated, truncated, after = env.step(action)  # type: ignore[arg-type]
        _require(bool(after["invalid"]), f"step({action!r}) was accepted")
        _require(again == text and after["menu"] == info["menu"], f"step({action!r}) moved the env")
        _require(
            not terminated and float(reward) == 0.0,
            f"step({action!r}) ended or rewarded the episode",
        )
        _require(
            truncated is (count == MAX_INVALID_IN_A_ROW),
            f"after {count} wrong actions truncated is {truncated}",
        )


def _deterministic(make: MakeEnv, pace: CheckPace) -> None:
    for seed in pace.seeds(3):
        _require(
            _play(make(), seed, pace.steps) == _play(make(), seed, pace.steps),
            f"seed {seed}: two envs tell different stories",
        )


def _situations(make: MakeEnv, pace: CheckPace) -> None:
    env = make()
    known = list(env.situations())
    _require(len(set(known)) == len(known), "situation ids repeat")
    if not known:
        return
    met = [env.reset(seed=5)[1]["situation"]]
    met += [env.reset()[1]["situation"] for _ in range(min(len(known), MAX_SITUATIONS) - 1)]
    _require(len(set(met)) == len(met), "a walk met a situation twice before it met all")
    _require(set(met) <= set(known), "a walk met a situation that is not listed")
    for situation in known[:MAX_SITUATIONS]:
        _require(
            env.reset(options={"situation": situation})[1]["situation"] == situation,
            f"{situation!r} starts another",
        )


def _snapshots(make: MakeEnv, pace: CheckPace) -> None:
    env = make()
    if not env.can_snapshot:
        return
    for seed in pace.seeds(8):
        if not _wander(env, seed)["menu"]:
            continue
        state = env.snapshot()
        other = make()
        other.reset(seed=99)
        for branch in range(3):
            env.restore(state)
            future = _future(env, branch, pace.steps)
            env.restore(state)
            _require(
                _future(env, branch, pace.steps) == future,
                f"the same env went another way after restore, at step {seed}",
            )
            other.restore(state)
            _require(
                _future(other, branch, pace.steps) == future,
                f"another env went another way after restore, at step {seed}",
            )


def _trying(make: MakeEnv, pace: CheckPace) -> None:
    """Of an env that annotates by trying: beside one that does not, and beside another in the same
    state.
    """
    if not make().annotate_by_trying:
        return
    for seed in pace.seeds(3):
        tried, untried = make(), make()
        untried.annotate_by_trying = False
        shown, bare = (_play(env, seed, pace.steps, annotations=False) for env in (tried, untried))
        _require(
            shown == bare,
            f"seed {seed}: an episode whose options are tried goes another way; save all that"
            " moves",
        )
        drawn = [repr(env.np_random.bit_generator.state) for env in (tried, untried)]
        _require(
            drawn[0] == drawn[1],
            f"seed {seed}: trying options drew from the generator of the real steps",
        )
    env, other = make(), make()
    for seed in pace.seeds(5):
        info = _wander(env, seed)
        if info["menu"]:
            other.reset(seed=99)
            other.restore(env.snapshot())
            again = other.try_options(info["menu"])
            _require(
                again == info["annotation"],
                f"the same state is annotated in two ways, at step {seed}",
            )


def _wander(env: ValueEnv, seed: int) -> dict[str, Any]:
    """Start an episode and take `seed` random steps: the last info, its menu empty if the episode
    is over.
    """
    rng = np.random.default_rng(seed)
    _, info = env.reset(seed=seed)
    for _ in range(seed):
        if not info["menu"]:
            break
        _, _, terminated, truncated, info = env.step(int(rng.integers(len(info["menu"]))))
        if terminated or truncated:
            return {**info, "menu": ()}
    return info


def _future(env: ValueEnv, branch: int, steps: int) -> list[object]:
    """What a seeded random walk from here shows, and how the next episode starts."""
    rng, action = np.random.default_rng(branch), 0
    shown: list[object] = []
    while len(shown) < steps:
        text, reward, terminated, truncated, info = env.step(action)
        shown.append([_shown(text, info), float(reward), terminated, truncated])
        if terminated or truncated or not info["menu"]:
            break
        action = int(rng.integers(len(info["menu"])))
    return [*shown, _shown(*env.reset())]


def _require(kept: bool, problem: str) -> None:
    if not kept:
        raise AssertionError(problem)
