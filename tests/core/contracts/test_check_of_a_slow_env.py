"""`checks_of_value_env` spares a slow env, says so, and tells each check when it is known."""

import time

from valueagents.contracts import check_pace
from valueagents.contracts.conformance import check_value_env, checks_of_value_env
from valueagents.contracts.decision import Option
from valueagents.contracts.environment import Turn, ValueEnv
from valueagents.taxonomy import load_taxonomy

MENU = (Option("a", "Go."), Option("b", "Stay."))


class Walk(ValueEnv):
    """Steps without end, each as long as `seconds`."""

    taxonomy, task, version = load_taxonomy("schwartz20"), "Walk.", "1"
    seconds = 0.0

    def __init__(self) -> None:
        super().__init__(max_menu=2)

    def start(self, situation: str | None) -> Turn:
        return Turn("Now?", MENU)

    def advance(self, option: Option) -> Turn:
        time.sleep(self.seconds)
        return Turn(f"{option.text} And now?", MENU)


class SlowWalk(Walk):
    seconds = 0.02


def test_a_quick_env_is_tested_whole() -> None:
    checks = check_value_env(Walk)
    assert [check for check in checks if check.problem or check.shortened] == []


def test_a_slow_env_is_tested_in_part_and_that_is_said(monkeypatch) -> None:
    monkeypatch.setattr(check_pace, "EPISODE_S", 0.2)
    monkeypatch.setattr(check_pace, "PROMISE_S", 0.1)
    checks = {check.promise: check for check in checks_of_value_env(SlowWalk)}
    assert [check.problem for check in checks.values() if check.problem] == []
    menus = checks["menus have unique ids and texts and fit the action space"].shortened
    assert menus is not None
    assert "of 20 episodes" in menus
    assert "steps an episode instead of 30" in menus


def test_each_check_is_told_when_it_is_known() -> None:
    told = checks_of_value_env(Walk)
    assert next(told).promise == "gymnasium's own check_env passes"
