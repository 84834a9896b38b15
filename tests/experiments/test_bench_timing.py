"""Ways take turns, work that is timed is counted, and a figure says its range and its bar."""

import argparse
import time

import pytest

from valueagents.experiments.bench.timing import (
    NotMeasured,
    Rounds,
    counted_calls,
    print_figure,
    read_options,
    require_work,
    take_turns,
)


def test_ways_take_turns_after_a_round_that_does_not_count() -> None:
    done: list[str] = []
    measured = take_turns({"a": lambda: done.append("a"), "b": lambda: done.append("b")}, rounds=3)
    assert done == ["a", "b"] * 4
    assert len(measured.seconds("a")) == len(measured.seconds("b")) == 3


def test_ratios_and_rates_are_of_each_round() -> None:
    measured = Rounds()
    for pause_s in (0.01, 0.03):
        with measured.timed("slow"):
            time.sleep(2 * pause_s)
        with measured.timed("fast"):
            time.sleep(pause_s)
    assert measured.ratios("slow", "fast") == [
        slow / fast
        for slow, fast in zip(measured.seconds("slow"), measured.seconds("fast"), strict=True)
    ]
    assert measured.rates("fast", 6) == [6 / seconds for seconds in measured.seconds("fast")]
    assert measured.seconds("fast")[1] >= 0.03


def test_a_block_that_raises_is_no_round() -> None:
    measured = Rounds()
    with pytest.raises(ZeroDivisionError), measured.timed("broken"):
        _ = 1 / 0
    with pytest.raises(KeyError, match="broken"):
        measured.seconds("broken")


def test_ways_with_different_numbers_of_rounds_have_no_ratio() -> None:
    measured = Rounds()
    for way in ("a", "a", "b"):
        with measured.timed(way):
            pass
    with pytest.raises(ValueError, match="shorter"):
        measured.ratios("a", "b")


def test_less_work_than_is_timed_is_not_measured_and_as_much_is() -> None:
    require_work("tokens", done=400, needed=400)
    with pytest.raises(
        NotMeasured, match=r"tokens: 0 done, 1,400 are timed; .*change what is asked"
    ):
        require_work("tokens", done=0, needed=1400)


class Adder:
    def __init__(self, start: int) -> None:
        self.start = start

    def add(self, number: int, *, times: int = 1) -> int:
        return self.start + number * times


def test_calls_are_counted_while_the_block_runs_and_give_what_they_gave() -> None:
    method = Adder.add
    with counted_calls(Adder, "add") as calls:
        assert [Adder(5).add(2), Adder(1).add(2, times=3)] == [7, 7]
    assert Adder(5).add(1) == 6
    assert calls == [2]
    assert Adder.add is method


@pytest.mark.parametrize(
    ("values", "settings", "said"),
    [
        ([2.0, 9.0, 4.0], {"unit": "s", "most": 5}, "4 s  [2 to 9]  (bar: at most 5)"),
        (
            [12345.6, 23456.7],
            {"unit": "a/s", "least": 5000},
            "17,901 a/s  [12,346 to 23,457]  (bar: at least 5,000)",
        ),
        ([0.00012345], {"most": 1e-3}, "0.000123  (bar: at most 0.001)"),
        ([0.95], {}, "0.95"),
    ],
)
def test_a_figure_is_the_median_with_its_range_and_bar(
    values: list[float], settings: dict[str, object], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    print_figure("a name", values, **settings)
    name, _, rest = capsys.readouterr().out.rstrip("\n").partition("  ")
    assert (name, rest.strip()) == ("a name", said)


SIZES = {"rounds": (7, 2), "prompt_tokens": (300, 100)}


@pytest.mark.parametrize(
    ("words", "rounds", "prompt_tokens"),
    [
        ([], 7, 300),
        (["--quick"], 2, 100),
        (["--quick", "--rounds", "5"], 5, 100),
        (["--prompt-tokens", "9"], 7, 9),
    ],
)
def test_a_size_is_the_normal_one_the_quick_one_or_the_one_that_is_named(
    words: list[str], rounds: int, prompt_tokens: int
) -> None:
    options = read_options(argparse.ArgumentParser(), SIZES, words)
    assert (options.rounds, options.prompt_tokens) == (rounds, prompt_tokens)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--rounds", "0"], "0 is too small; give at least 1"),
        (["--rounds", "x"], "'x'"),
        (["--rondes", "2"], "--rondes"),
    ],
)
def test_a_size_that_is_none_is_refused(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        read_options(argparse.ArgumentParser(), SIZES, words)
    assert said in capsys.readouterr().err
