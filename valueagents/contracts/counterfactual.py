"""Counterfactual menus: an env that can save and restore its state is asked what each option
*would* do.

Every option is taken, the value events that it causes are read, and the state is put back. So menus
are annotated without anybody labelling them, on the same axes and with the same scores as labelled
ones. The horizon is one step. Where chance plays a part, x is the mean over several tries under
random numbers of their own: a restored generator would be clairvoyant, it would know the roll that
the real step is going to make.

`ValueEnv.annotate_by_trying` switches this on for an env. A game that finds its options by trying
them has seen their events already, and averages them with `annotation_of_tries`.
"""

import hashlib
import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from itertools import chain
from statistics import fmean
from typing import NamedTuple, Protocol

import msgspec
import numpy as np

from valueagents.contracts.decision import Annotation, Event, Menu, Option
from valueagents.errors import ConfigError, EnvError, ValueAgentsError, unknown_name
from valueagents.taxonomy import Taxonomy

CACHE_BYTES = 4 << 20
"""Room for the annotations that one env remembers."""

_DECODER = msgspec.msgpack.Decoder(Annotation)
_ENTRY_BYTES = 256
"""What an entry of the cache takes beside its annotation: the key, two objects, its place in the
dictionary.
"""

Tries = Sequence[Sequence[Event]]
"""What the tries of one option brought: the events of each, one try if no random number was
drawn.
"""


class Scaling(msgspec.Struct, frozen=True):
    """How the summed amounts of a step's events become x in [-1, 1]: amount / unit, cut at ±1.

    Raises ConfigError if the unit is not a positive number.
    """

    unit: float = 1.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.unit) and self.unit > 0):
            raise ConfigError(
                f"Scaling(unit={self.unit}): give the amount that counts as 1, a number above 0"
            )

    @property
    def name(self) -> str:
        """The sentence that annotations have as their scaling."""
        return f"sum of the step's events / {self.unit:g}, cut at ±1"

    def values(self, events: Sequence[Event]) -> dict[str, float]:
        """Axis -> x for the axes that the events touch."""
        amounts: dict[str, float] = {}
        for event in events:
            amounts[event.axis] = amounts.get(event.axis, 0.0) + event.amount
        return {
            axis: max(-1.0, min(1.0, amount / self.unit))
            for axis, amount in sorted(amounts.items())
            if amount
        }


def annotation_of_tries(
    menu_tries: Sequence[Tries], taxonomy: Taxonomy, *, provenance: str, scaling: Scaling
) -> Annotation:
    """The annotation of a menu from the tries of its options, in shown order: x is the mean over an
    option's tries.
    """
    values = tuple(_mean_values(tries, scaling) for tries in menu_tries)
    return Annotation(taxonomy.name, values, provenance, scaling.name)


def _mean_values(tries: Tries, scaling: Scaling) -> dict[str, float | None]:
    total: dict[str, float] = {}
    for events in tries:
        for axis, x in scaling.values(events).items():
            total[axis] = total.get(axis, 0.0) + x
    return {axis: x / len(tries) for axis, x in sorted(total.items()) if x}


class Tryable(Protocol):
    """What an env whose options are tried can do; `ValueEnv` has all of it once it can be saved and
    restored.
    """

    taxonomy: Taxonomy
    tries: int
    scaling: Scaling
    provenance: str

    @property
    def np_random(self) -> np.random.Generator:
        """The generator of the real steps."""

    def save_state(self) -> bytes:
        """The state, random generator aside."""

    def load_state(self, state: bytes) -> None:
        """Go back to it."""

    def reseed(self, state_key: str, number: int) -> None:
        """Let all randomness from here on derive from a state and the number of a try there."""

    def randomness(self) -> object:
        """Another value whenever a random number was drawn."""

    def attempt(self, option: Option) -> Sequence[Event]:
        """Take an option: its value events."""

    def totals(self) -> Mapping[str, float]:
        """Running totals by covariate."""


class TriedMenus:
    """Annotates the menus of one env by trying, and remembers them by exact state, the least
    recently met forgotten.
    """

    def __init__(self, size_bytes: int = CACHE_BYTES) -> None:
        self._known: OrderedDict[str, bytes] = OrderedDict()
        self._room_bytes = size_bytes

    def annotation(self, env: Tryable, menu: Menu) -> Annotation:
        """What each option of a menu of the env's present state would do; the env is left as it
        was.

        Raises EnvError, naming env and option, for an option that cannot be taken and for an event
        that is not an amount on an axis of the env's taxonomy. An error of this package that the
        env raises itself is passed on.
        """
        state = env.save_state()
        key = _key(state, menu)
        known = self._known.get(key)
        if known is not None:
            self._known.move_to_end(key)
            return _DECODER.decode(known)
        before = env.totals()
        tried = _try_all(env, menu, state, key)
        annotation = annotation_of_tries(
            [option.events for option in tried],
            env.taxonomy,
            provenance=env.provenance,
            scaling=env.scaling,
        )
        gained = {
            name: tuple(fmean(after[name] for after in option.totals) - total for option in tried)
            for name, total in before.items()
        }
        annotation = msgspec.structs.replace(annotation, covariates=gained)
        encoded = bytes(memoryview(msgspec.msgpack.encode(annotation)))  # which has room to spare
        self._remember(key, encoded)
        return annotation

    def _remember(self, key: str, encoded: bytes) -> None:
        self._known[key] = encoded
        self._room_bytes -= len(encoded) + _ENTRY_BYTES
        while self._room_bytes < 0:
            _, forgotten = self._known.popitem(last=False)
            self._room_bytes += len(forgotten) + _ENTRY_BYTES


def _key(state: bytes, menu: Menu) -> str:
    """The hash of the exact state and the menu met there.

    SHA-256 of the bytes: for states of a few kilobytes it takes half of BLAKE2b's time, a sixth of
    `content_hash`'s.
    """
    digest = hashlib.sha256(state)
    digest.update(msgspec.msgpack.encode(menu))
    return digest.hexdigest()


class _Tried(NamedTuple):
    """Of each try of an option: its events, and the env's totals after it."""

    events: Tries
    totals: Sequence[Mapping[str, float]]


def _try_all(env: Tryable, menu: Menu, state: bytes, key: str) -> list[_Tried]:
    """The tries of every option; state and random generator are then as they were, whatever was
    raised.
    """
    generator, axes = env.np_random.bit_generator, frozenset(env.taxonomy.axis_ids)
    real_randomness = generator.state
    menu_tries: list[_Tried] = []
    try:
        for option in menu:
            tries = _tries_of(env, option, state, key)
            for event in chain.from_iterable(tries.events):
                if event.axis not in axes or not math.isfinite(event.amount):
                    raise EnvError(f"{_named(env, option)}: {_problem(event, env.taxonomy)}")
            menu_tries.append(tries)
    finally:
        generator.state = real_randomness
    return menu_tries


def _tries_of(env: Tryable, option: Option, state: bytes, key: str) -> _Tried:
    """The tries of an option: one if it draws no random number, `env.tries`
    otherwise.
    """
    tries: list[Sequence[Event]] = []
    totals: list[Mapping[str, float]] = []
    for number in range(env.tries):
        try:
            env.reseed(key, number)
            before = env.randomness()
            tries.append(env.attempt(option))
            totals.append(env.totals())
            drew = env.randomness() != before
        except ValueAgentsError:
            raise
        except Exception as error:
            raise EnvError(
                f"{_named(env, option)}: {type(error).__name__}: {error}. With annotate_by_trying"
                " every option of a menu is taken; mend `advance` for it or leave it off the menu"
            ) from error
        finally:
            env.load_state(state)
        if not drew:
            break
    return _Tried(tries, totals)


def _problem(event: Event, taxonomy: Taxonomy) -> str:
    if not math.isfinite(event.amount):
        return f"the amount of its event on {event.axis} is {event.amount}; give a finite number"
    return unknown_name(f"axis of {taxonomy.id}", event.axis, taxonomy.axis_ids)


def _named(env: Tryable, option: Option) -> str:
    return f"{type(env).__name__}, option {option.id!r}"
