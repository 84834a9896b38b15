"""The state of a choice game: a copy is what decoding gives, and shares nothing that can change."""

from typing import Any

import numpy as np

from valueagents.envs.choice_game.env import ChoiceScriptEnv
from valueagents.envs.choice_game.state import Call, Frame, ScriptState, decode, encode


def holders(part: Any) -> list[int]:
    """The identities of everything in a state that can change."""
    if isinstance(part, ScriptState | Frame | Call):
        inner = [getattr(part, name) for name in part.__struct_fields__]
        return [id(part)] + [each for value in inner for each in holders(value)]
    if isinstance(part, list):
        return [id(part)] + [each for value in part for each in holders(value)]
    return [id(part)] if isinstance(part, dict) else []


def test_a_copy_equals_the_decoded_state_and_shares_nothing_that_can_change() -> None:
    frame = Frame({"x": 1.5, "y": None}, [3], "hide", [9, 4], [True])
    calls = [Call("inn", 4, Frame()), Call("mill", 7, Frame({"z": "a"}, [1, 2]))]
    state = ScriptState(
        "fair", 5, 9, {"gold": 2, "name": "Ada"}, frame, calls, ["first"], (), False, 3
    )
    copied = state.copy()
    assert copied == decode(encode(state)) == state
    assert not set(holders(copied)) & set(holders(state))


def test_tries_leave_the_script_as_it_was_at_every_turn_of_a_game() -> None:
    env = ChoiceScriptEnv()
    _, info = env.reset(seed=3)
    picks = np.random.default_rng(3).random(60)
    for pick in picks.tolist():
        before = encode(env._interpreter.state)
        env.try_options(info["menu"])
        assert encode(env._interpreter.state) == before
        again = ChoiceScriptEnv()
        again.reset(seed=3)
        again.restore(env.snapshot())
        assert again.try_options(info["menu"]) == info["annotation"]
        _, _, terminated, truncated, info = env.step(int(pick * len(info["menu"])))
        if terminated or truncated:
            _, info = env.reset()
