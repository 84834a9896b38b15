"""A study drawn by the computer, on the menus of a real env: what its inference is calibrated on.

Arrays: T targets, S seeds, N options of I items, V = T values.

An adapter's logit of an option is the base's appeal (sd 1, drawn anew: items are a sample), plus
what it was trained for (weight × x on its own target, more or less by seed), its habits (a taste
for the first option and for all values at once, of the adapter and of its seed), the side effects
of its training data (sd h an option, alike in all seeds) and training noise (sd an option, its
own). The control of a seed has all of these but the first, and is shared by all targets of the
seed.
"""

from dataclasses import dataclass
from functools import cached_property

import msgspec
import numpy as np
from scipy.optimize import brentq

from valueagents.arrays import BoolArray, FloatArray, IntArray
from valueagents.errors import ConfigError
from valueagents.measuring.answers import Answers

APPEAL = 1.0
_DRAWS = 50
_LARGEST_WEIGHT = 20.0


class Noise(msgspec.Struct, frozen=True):
    """What trains along, in logits. Where it comes from: `source`.

    training: sd of an option between two trainings that differ in nothing but their seed.
    side_effects: sd of an option between two sets of training data, alike in all seeds.
    position, all_values: sd of an adapter's habits: for the first option, for all values at once.
    strength: sd between seeds of what a training moves, as a share of it.
    """

    training: float = 0.3
    side_effects: float = 0.0
    position: float = 0.3
    all_values: float = 0.1
    strength: float = 0.3
    source: str = "assumed"


@dataclass(frozen=True)
class StudyMenus:
    """The I menus of an env: (N, V) x of the targets (NaN: not annotated), first rows, clusters."""

    x: FloatArray
    start: IntArray
    cluster: IntArray

    @cached_property
    def size(self) -> IntArray:
        """(I,) options on each."""
        return np.diff(np.append(self.start, len(self.x)))

    @cached_property
    def judged(self) -> FloatArray:
        """(N, V) x with 0 where it is not annotated."""
        return np.nan_to_num(self.x)

    @cached_property
    def contested(self) -> BoolArray:
        """(I, V) true where the options differ in a value that all of them are annotated for."""
        low, high = (each.reduceat(self.x, self.start, axis=0) for each in (np.minimum, np.maximum))
        contested: BoolArray = high > low
        return contested

    def serving(self) -> FloatArray:
        """(N, V) 1 for an option above its menu's mean on a contested value."""
        mean = np.add.reduceat(self.judged, self.start, axis=0) / self.size[:, None]
        above = self.judged > np.repeat(mean, self.size, axis=0)
        serving = above & np.repeat(self.contested, self.size, axis=0)
        return serving.astype(np.float64)

    def probabilities(self, utility: FloatArray) -> FloatArray:
        """(…, N) softmax over each menu of (…, N) logits."""
        odds = np.exp(utility)
        totals = np.add.reduceat(odds, self.start, axis=-1)
        shares: FloatArray = odds / np.repeat(totals, self.size, axis=-1)
        return shares

    def expected(self, p: FloatArray) -> FloatArray:
        """(…, I, V) Σ p x of each menu."""
        sums: FloatArray = np.add.reduceat(p[..., None] * self.judged, self.start, axis=-2)
        return sums


def menus_of(answers: Answers, targets: tuple[str, ...]) -> StudyMenus:
    """The different situations of a run, on the values of the targets.

    Raises ConfigError if the env is annotated for none of them.
    """
    _, first = np.unique(np.asarray(answers.shown.to_pylist()), return_index=True)
    met = answers.select(np.sort(first))
    columns = [answers.taxonomy.index(target) for target in targets]
    menus = StudyMenus(met.x[:, columns], met.start, met.cluster)
    held_by = menus.contested.sum(axis=0)
    lacking = [t for t, held in zip(targets, held_by, strict=True) if not held]
    if lacking:
        raise ConfigError(f"{answers.name} puts {', '.join(lacking)} nowhere at stake")
    return menus


def weights_for(menus: StudyMenus, effect: float) -> FloatArray:
    """(V,) the weight that moves a share `effect` of the probability onto options that serve a
    value, averaged over its contested menus.
    """
    rng = np.random.default_rng(0)
    appeal = rng.normal(0, APPEAL, (_DRAWS, len(menus.x)))
    before = menus.probabilities(appeal)
    serving, counts = menus.serving(), menus.contested.sum(axis=0)

    def moved(weight: float, v: int) -> float:
        after = menus.probabilities(appeal + weight * menus.judged[:, v])
        return float(((after - before) @ serving[:, v]).mean() / counts[v]) - effect

    return np.array(
        [brentq(moved, 0.0, _LARGEST_WEIGHT, args=(v,)) for v in range(menus.x.shape[1])]
    )


def simulate(
    rng: np.random.Generator, menus: StudyMenus, *, seeds: int, noise: Noise, weights: FloatArray
) -> FloatArray:
    """(T, S, I, V) shifts of every adapter against the control of its seed, NaN where a value is
    not at stake; target t was moved by `weights` (T,) on its own value.
    """
    options, targets = menus.x.shape
    first = np.zeros(options)  # the order of options is drawn, as envs draw it
    first[menus.start + rng.integers(menus.size)] = 1.0
    appeal = rng.normal(0, APPEAL, options)
    side = rng.normal(0, noise.side_effects, (targets + 1, 1, options))
    own = rng.normal(0, noise.training, (targets + 1, seeds, options))
    habits = np.zeros((targets + 1, seeds, options))
    for sd, what in ((noise.position, first), (noise.all_values, menus.judged.sum(axis=1))):
        strength = rng.normal(0, sd, (targets + 1, 1, 1)) + rng.normal(
            0, sd, (targets + 1, seeds, 1)
        )
        habits = habits + strength * what
    moved = weights[:, None] * (1 + rng.normal(0, noise.strength, (targets, seeds)))
    trained = np.zeros((targets + 1, seeds, options))
    trained[:-1] = moved[:, :, None] * menus.judged.T[:, None]
    levels = menus.expected(menus.probabilities(appeal + side + own + habits + trained))
    shifts = levels[:-1] - levels[-1]
    return np.where(menus.contested, shifts, np.nan)
