"""Do profiles of values run round Schwartz's circle? Checks over policies, personas or adapters as
the units.

Each unit's profile is centred on its own mean, as people's are (Schwartz 2021); r_ij is the
correlation of two values over units.

r(cos)        correlation over pairs i < j of r_ij with cos(θ_i − θ_j); p from permuting the values'
              angles. Its percentile interval sits low (resampled r are noisier) and can leave out a
              value near 1.
oppositions   correlations over units of the group means: openness – conservation, self-enhancement
              – -transcendence.
map           classical multidimensional scaling (Torgerson 1952) of the distances sqrt(2 − 2 r_ij),
              turned to the theoretical circle (orthogonal Procrustes); `share` of the positive
              eigenvalues lies in its two axes.
menus alone   the same fit of the correlations that policies with independent values would have:
              where the menus put two values together, propensities go together. To first order in
              the weights w, a profile is C w with C the covariances within menus
              (`Profiles.menus`), so r_ij is that of C Cᵀ. No claim goes beyond it.
slope         of an adapter: regression of the shifts of the values other than its target on cos(θ_v
              − θ_target).
"""

from collections.abc import Callable, Sequence

import msgspec
import numpy as np

from valueagents.arrays import BoolArray, FloatArray
from valueagents.measuring.inference import MIN_POLICIES, Estimate, over_policies
from valueagents.measuring.sums import varying
from valueagents.taxonomy import People, Taxonomy

_PERMUTATIONS = 9_999
_MIN_AXES = 4


class Opposition(msgspec.Struct, frozen=True):
    """Two groups of values that the circle puts opposite, and their correlation over units."""

    first: str
    second: str
    correlation: Estimate


class CircleCheck(msgspec.Struct, frozen=True):
    """The circle in the profiles of `units` policies.

    Lists run over `axes`: angles in degrees, map in [-√2, √2].

    `p` is one-sided (values follow the circle more than with shuffled angles). `menus_alone` None:
    unknown, or no menu offers two values together. `people`: what people gave, where the taxonomy
    has it.
    """

    taxonomy: str
    units: int
    axes: list[str]
    angles: list[float]
    left_out: list[str]
    r_cos: Estimate
    p: float | None
    menus_alone: float | None
    oppositions: list[Opposition]
    correlations: list[list[float]]
    places: list[tuple[float, float]]
    share: float | None
    people: People | None


def circle_check(
    profiles: FloatArray, taxonomy: Taxonomy, *, menus: FloatArray | None = None, seed: int = 0
) -> CircleCheck:
    """The checks on (U, V) profiles, NaN = unknown; values that a unit lacks or that never vary are
    left out.

    `menus` (V, V) is what each weight does to each propensity where the profiles come from
    (`Profiles.menus`).
    """
    x, kept = _on_circle(profiles, taxonomy)
    angles = [(taxonomy.angles or {})[axis] for axis in kept]
    left_out = [axis for axis in taxonomy.axis_ids if axis not in kept]
    reason = _why_not(taxonomy, len(profiles), len(kept))
    if reason is not None:
        unknown = Estimate(reason=reason)
        return CircleCheck(
            taxonomy=taxonomy.name,
            units=len(profiles),
            axes=kept,
            angles=angles,
            left_out=left_out,
            r_cos=unknown,
            p=None,
            menus_alone=None,
            oppositions=[Opposition(*pair, unknown) for pair in taxonomy.oppositions],
            correlations=[],
            places=[],
            share=None,
            people=taxonomy.people,
        )
    theta: FloatArray = np.radians(np.asarray(angles))
    cosines = np.cos(theta[:, None] - theta)
    correlations: FloatArray = np.asarray(np.corrcoef(x, rowvar=False))
    found = over_policies(x, _statistics(taxonomy, kept, cosines), seed=seed)
    places, share = _scaled(correlations, theta)
    rows = [taxonomy.index(axis) for axis in kept]
    return CircleCheck(
        taxonomy=taxonomy.name,
        units=len(profiles),
        axes=kept,
        angles=angles,
        left_out=left_out,
        r_cos=found["r_cos"],
        p=_permutation_p(correlations, cosines, seed),
        menus_alone=None if menus is None else _menus_alone(menus[rows], cosines),
        oppositions=[Opposition(*pair, found[" – ".join(pair)]) for pair in taxonomy.oppositions],
        correlations=correlations.tolist(),
        places=[(float(a), float(b)) for a, b in places],
        share=share,
        people=taxonomy.people,
    )


def _on_circle(profiles: FloatArray, taxonomy: Taxonomy) -> tuple[FloatArray, list[str]]:
    """(U, K) profiles, each centred on its own mean, of the K values that lie on the circle and
    vary; and their ids.
    """
    angles = taxonomy.angles or {}
    known = varying(profiles) & [axis in angles for axis in taxonomy.axis_ids]
    x = profiles[:, known]
    x = x - x.sum(axis=1, keepdims=True) / max(1, x.shape[1])
    varies = varying(x)  # what was only a unit's level is gone
    return x[:, varies], [taxonomy.axis_ids[v] for v in np.flatnonzero(known)[varies]]


def _statistics(
    taxonomy: Taxonomy, kept: Sequence[str], cosines: FloatArray
) -> Callable[[FloatArray], dict[str, float]]:
    """The fit on the circle and the oppositions, of (U, K) profiles."""
    pairs = np.triu_indices(len(kept), 1)
    groups = {" – ".join(pair): _members(taxonomy, kept, pair) for pair in taxonomy.oppositions}

    def statistics(sample: FloatArray) -> dict[str, float]:
        with np.errstate(divide="ignore", invalid="ignore"):
            r = np.asarray(np.corrcoef(sample, rowvar=False))[pairs]
            found = {"r_cos": _correlation(r, cosines[pairs])}
            for name, (one, other) in groups.items():
                known = bool(one and other)
                sides = [sample[:, side].mean(axis=1) for side in (one, other)] if known else []
                found[name] = _correlation(*sides) if known else float("nan")
        return found

    return statistics


def slope_weights(taxonomy: Taxonomy, target: Sequence[str], known: BoolArray) -> FloatArray | None:
    """(V,) weights whose product with shifts is the circle slope; 0 on the target, off the circle
    and where not known.

    A target of several values points in their mean direction. None if it has none, or the values
    that are left are under three or all equally far from it.
    """
    angles = taxonomy.angles or {}
    direction = sum(np.exp(1j * np.radians(angles[axis])) for axis in target if axis in angles)
    others = [
        v
        for v, axis in enumerate(taxonomy.axis_ids)
        if axis in angles and axis not in target and known[v]
    ]
    if abs(direction) < 1e-9 or len(others) < _MIN_AXES - 1:
        return None
    cosines = np.cos(
        np.radians([angles[taxonomy.axis_ids[v]] for v in others]) - np.angle(direction)
    )
    centred = cosines - cosines.mean()
    if np.abs(centred).max() < 1e-9:
        return None
    weights = np.zeros(len(taxonomy.axes))
    weights[others] = centred / (centred @ centred)
    return weights


def _why_not(taxonomy: Taxonomy, units: int, axes: int) -> str | None:
    if taxonomy.angles is None:
        return f"the axes of {taxonomy.name} have no angles: they do not lie on a circle"
    if units < MIN_POLICIES:
        return f"too few policies: {units}, {MIN_POLICIES} needed"
    return f"too few values: {axes} have a number in every policy" if axes < _MIN_AXES else None


def _members(
    taxonomy: Taxonomy, kept: Sequence[str], pair: tuple[str, str]
) -> tuple[list[int], list[int]]:
    """The places in `kept` of the axes of both groups."""
    first, second = (
        [kept.index(axis) for axis in taxonomy.main_groups[name] if axis in kept] for name in pair
    )
    return first, second


def _correlation(x: FloatArray, y: FloatArray) -> float:
    x, y = x - x.mean(), y - y.mean()
    return float(x @ y / np.sqrt((x @ x) * (y @ y)))


def _menus_alone(effects: FloatArray, cosines: FloatArray) -> float | None:
    """r(cos) of profiles C w, centred, of independent w; `effects` (K, V) are the rows of C that
    are on the circle.
    """
    moved = effects - effects.mean(axis=0)
    covariance = moved @ moved.T
    scale = np.sqrt(np.diag(covariance))
    pairs = np.triu_indices(len(cosines), 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        r = (covariance / np.outer(scale, scale))[pairs]
    together = effects @ effects.T
    apart = np.abs(together[pairs]).max() < 1e-9 * np.abs(np.diag(together)).max()
    return None if apart or not np.isfinite(r).all() else _correlation(r, cosines[pairs])


def _permutation_p(correlations: FloatArray, cosines: FloatArray, seed: int) -> float:
    """How often shuffled angles fit as well; the observed order counts as one of the
    permutations.
    """
    rng, pairs = np.random.default_rng(seed), np.triu_indices(len(cosines), 1)
    r = (
        correlations[pairs] - correlations[pairs].mean()
    )  # the cosines of all pairs only change places
    observed = r @ cosines[pairs]
    hits = 0
    for _ in range(_PERMUTATIONS):
        order = rng.permutation(len(cosines))
        hits += bool(r @ cosines[np.ix_(order, order)][pairs] >= observed - 1e-12)
    return (hits + 1) / (_PERMUTATIONS + 1)


def _scaled(correlations: FloatArray, theta: FloatArray) -> tuple[FloatArray, float]:
    """(V, 2) places on the map and the share of the positive eigenvalues that it shows."""
    squared = 2 * (1 - correlations)
    centring = np.eye(len(theta)) - 1 / len(theta)
    eigenvalues, vectors = np.linalg.eigh(-centring @ squared @ centring / 2)
    places = vectors[:, [-1, -2]] * np.sqrt(np.maximum(eigenvalues[[-1, -2]], 0))
    ideal = np.stack([np.sin(theta), np.cos(theta)], axis=1)
    left, _, right = np.linalg.svd(places.T @ ideal)
    turned: FloatArray = places @ left @ right
    return turned, float(eigenvalues[-2:].clip(min=0).sum() / eigenvalues.clip(min=0).sum())
