"""How the benchmarks time and print.

Ways of doing the same thing take turns, round by round (A B A B …), so that whatever else the
machine does falls on all of them. A figure is the median of its rounds, printed with the lowest and
the highest; a ratio is taken within each round. Work that is timed is also counted: a cache that
answers in its place would make the figure worthless.
"""

import argparse
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from statistics import median

NAME_WIDTH = 58
THOUSANDS_FROM = 1000


class NotMeasured(Exception):
    """Raised where the work that is timed was not done, so that the time says nothing."""


class Rounds:
    """Seconds that several ways of doing something took, round by round."""

    def __init__(self) -> None:
        self._seconds: dict[str, list[float]] = {}

    @contextmanager
    def timed(self, way: str) -> Iterator[None]:
        """The seconds that the block takes are this way's next round."""
        started = time.perf_counter()
        yield
        self._seconds.setdefault(way, []).append(time.perf_counter() - started)

    def seconds(self, way: str) -> list[float]:
        """The seconds of each round."""
        return list(self._seconds[way])

    def rates(self, way: str, amount: float) -> list[float]:
        """What was done a second in each round, if each did so much."""
        return [amount / seconds for seconds in self._seconds[way]]

    def ratios(self, above: str, below: str) -> list[float]:
        """Seconds of one way ÷ seconds of another, in each round."""
        pairs = zip(self._seconds[above], self._seconds[below], strict=True)
        return [one / other for one, other in pairs]


def take_turns(ways: Mapping[str, Callable[[], object]], rounds: int) -> Rounds:
    """Every way was timed once in each round, in the order given, after a round that does not
    count.
    """
    for work in ways.values():
        work()
    measured = Rounds()
    for _ in range(rounds):
        for way, work in ways.items():
            with measured.timed(way):
                work()
    return measured


def require_work(what: str, *, done: float, needed: float) -> None:
    """Nothing happens if as much was done as is timed. Raises NotMeasured if it was less."""
    if done < needed:
        raise NotMeasured(
            f"{what}: {done:,.0f} done, {needed:,.0f} are timed; something else (a cache?) gave the"
            " rest, so change what is asked until it is done anew"
        )


@contextmanager
def counted_calls(owner: type, name: str) -> Iterator[list[int]]:
    """The one number in the list is how often the method of a class was called since the block
    began.
    """
    method: Callable[..., object] = getattr(owner, name)
    calls = [0]

    def counted(*positional: object, **named: object) -> object:
        calls[0] += 1
        return method(*positional, **named)

    setattr(owner, name, counted)
    try:
        yield calls
    finally:
        setattr(owner, name, method)


def print_figure(
    name: str,
    values: Sequence[float],
    unit: str = "",
    *,
    least: float | None = None,
    most: float | None = None,
) -> None:
    """Print the median of the rounds, their range, and the bar that the median should keep: at
    least, or at most.
    """
    text = f"{name:<{NAME_WIDTH}}  {_number(median(values))}"
    if unit:
        text += f" {unit}"
    if len(values) > 1:
        text += f"  [{_number(min(values))} to {_number(max(values))}]"
    if least is not None:
        text += f"  (bar: at least {_number(least)})"
    if most is not None:
        text += f"  (bar: at most {_number(most)})"
    print(text, flush=True)


def _number(value: float) -> str:
    """Three digits, or all before the point."""
    return f"{value:,.0f}" if abs(value) >= THOUSANDS_FROM else f"{value:.3g}"


def read_options(
    parser: argparse.ArgumentParser,
    sizes: Mapping[str, tuple[int, int]],
    argv: Sequence[str] | None,
) -> argparse.Namespace:
    """What the command line says; a size that it does not name is the normal one, or with --quick
    the small one.

    `sizes` are (normal, quick) by name. Exits with a message for an option that is unknown or a
    size below 1.
    """
    parser.add_argument(
        "--quick",
        action="store_true",
        help="small sizes: shows that it runs, its figures mean little",
    )
    for name, (normal, quick) in sizes.items():
        flag = "--" + name.replace("_", "-")
        parser.add_argument(
            flag, type=_at_least_1, help=f"by default {normal:,}, with --quick {quick:,}"
        )
    options = parser.parse_args(argv)
    for name, (normal, quick) in sizes.items():
        if getattr(options, name) is None:
            setattr(options, name, quick if options.quick else normal)
    return options


def make_parser(description: str | None) -> argparse.ArgumentParser:
    """A parser whose help is a benchmark's docstring as it stands."""
    return argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def _at_least_1(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is too small; give at least 1")
    return number
