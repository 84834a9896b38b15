"""Counterfactual menus: a world that can save and restore its state is asked what each option *would* do.

Every option is taken, the value events that it causes are read, and the state is put back. So menus of games are
annotated without anybody labelling menus, on the same axes and with the same scores as labelled ones. The horizon is
one step; where the world is random, x is the mean over several reseeded tries, because a restored random generator
would be clairvoyant: it would know the roll that the real step is going to make.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from valueagents.contracts.decision import Annotation, Event, Menu, Option
from valueagents.taxonomy import Taxonomy


class TryableWorld(Protocol):
    """What can be asked: its state as opaque bytes, its randomness reseeded, and an option taken for its events."""

    def save_world(self) -> bytes:
        """Everything that decides what comes next, counters and random generators included."""

    def load_world(self, state: bytes) -> None:
        """Return to a saved state."""

    def reseed(self, seed: int) -> None:
        """Let all randomness from here on derive from a seed."""

    def attempt(self, option: Option) -> Sequence[Event]:
        """Take an option and return its value events; the world has moved."""


class Scaling(msgspec.Struct, frozen=True):
    """How the summed amounts of a step's events become x in [-1, 1]: amount / unit, cut at ±1."""

    unit: float = 1.0

    @property
    def name(self) -> str:
        """The sentence that stands in annotations."""
        return f"sum of the step's events / {self.unit:g}, cut at ±1"

    def values(self, events: Sequence[Event]) -> dict[str, float]:
        """Axis -> x for the axes that the events touch."""
        amounts: dict[str, float] = {}
        for event in events:
            amounts[event.axis] = amounts.get(event.axis, 0.0) + event.amount
        return {axis: max(-1.0, min(1.0, amount / self.unit)) for axis, amount in sorted(amounts.items()) if amount}


def annotate_by_trying(
    world: TryableWorld,
    menu: Menu,
    taxonomy: Taxonomy,
    *,
    provenance: str,
    scaling: Scaling,
    seeds: Sequence[int] | None = None,
    on_try: Callable[[Option], None] | None = None,
) -> Annotation:
    """The annotation of a menu from trying every option; the world is left as it was.

    `seeds` None = the world is not random, one try; otherwise one reseeded try for each seed, and x is their mean.
    `on_try` is told of every option before its state is put back (for a game that wants to see where it would lead).
    """
    state = world.save_world()
    values: list[dict[str, float | None]] = []
    try:
        for option in menu:
            total: dict[str, float] = {}
            for seed in seeds if seeds is not None else (None,):
                world.load_world(state)
                if seed is not None:
                    world.reseed(seed)
                for axis, x in scaling.values(world.attempt(option)).items():
                    total[axis] = total.get(axis, 0.0) + x
                if on_try is not None:
                    on_try(option)
            tries = 1 if seeds is None else len(seeds)
            values.append({axis: x / tries for axis, x in sorted(total.items()) if x})
    finally:
        world.load_world(state)
    return Annotation(taxonomy.name, tuple(values), provenance, scaling.name)
