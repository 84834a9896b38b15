"""What a score owes to the way it was asked: prompts, orders, seeds, readings; and what the same
answers come to otherwise read.
"""

from collections.abc import Mapping, Sequence
from functools import partial

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from valueagents.arrays import FloatArray, IntArray
from valueagents.identity import content_hash
from valueagents.measuring.alternatives import (
    Neither,
    Normalisers,
    neither_of,
    normalisers_of,
)
from valueagents.measuring.answers import Answers, common_form, require_comparable
from valueagents.measuring.columns import codes_of
from valueagents.measuring.components import (
    Components,
    generalisability,
    variance_components,
)
from valueagents.measuring.deviations import propensity_terms

MOST_DECISIONS = 200_000
"""Of more decisions the components are not computed: they take memory for every decision and axis,
and the error of such a mean is small.
"""
_ASKING = (
    "reading",
    "normaliser",
    "pick",
    "rotations",
    "prompt",
    "sampling",
    "how",
    "neither",
    "opening",
)
"""What of a policy's identity says how it was asked, not who answered."""


class Spread(msgspec.Struct, frozen=True):
    """Variance components of every axis over the facets that the runs vary.

    `not_varied`: the facets of which nothing is known. `coefficient` names what the components'
    coefficients are, `policies` how many policies there are (None: their variance is no component).
    """

    runs: int
    policies: int
    varied: list[str]
    not_varied: list[str]
    coefficient: str
    axes: dict[str, Components]
    reason: str | None = None


FACETS = ("item", "prompt", "order", "seed", "reading")
PHI = "Φ(0), dependability against chance (Brennan & Kane 1977)"
RHO = "Eρ², generalisability over policies (Cronbach et al. 1972)"


def spread_of(runs: Sequence[Answers]) -> Spread:
    """The variance components of the propensity over several runs of one env, or over one run.

    Facets are what the runs vary: items (clusters), prompts, orders of the options, seeds of the
    runs, readings. Where the runs are of several policies these are the object of measurement, and
    the coefficient says how far their ranks hold; else it is that of one policy's score.
    """
    for other in runs[1:]:
        require_comparable(runs[0], other)
    taxonomy, count = runs[0].taxonomy, sum(len(each.size) for each in runs)
    if count > MOST_DECISIONS:
        reason = f"{count:,} decisions, more than {MOST_DECISIONS:,}: not computed"
        return Spread(len(runs), 1, [], [], PHI, {}, reason)
    form = common_form(*runs)
    terms = partial(propensity_terms, form=form)
    y = np.vstack([each.per_decision(terms) for each in runs])  # (T, V)
    facets, policies = _facets(runs), _codes([_who(each) for each in runs], runs)
    several = int(policies.max(initial=0)) + 1
    varied = [name for name, code in facets.items() if code.max(initial=0) > 0]
    needed = max(2, runs[0].min_contested)
    axes = {}
    for v, axis in enumerate(taxonomy.axes):
        here = ~np.isnan(y[:, v])
        found = int(here.sum())
        if found < needed:
            axes[axis.id] = Components(found, reason=f"not enough: {found}, {needed} needed")
            continue
        asked = {name: code[here] for name, code in facets.items()}
        axes[axis.id] = (
            variance_components(y[here, v], asked)
            if several == 1
            else _over_policies(y[here, v], asked, policies[here])
        )
    missing = [name for name in FACETS if name not in varied]
    named = PHI if several == 1 else RHO
    return Spread(len(runs), several, varied, missing, named, axes)


def _over_policies(y: FloatArray, facets: dict[str, IntArray], policy: IntArray) -> Components:
    """As `variance_components`, with the policies as a facet of their own and their interaction
    with prompts; the coefficient is Eρ² of a policy's mean, in which main effects of items and
    prompts, alike for all, cancel.
    """
    crossed = {"policy": policy, **facets}
    prompts = facets.get("prompt")
    if prompts is not None and prompts.max(initial=0) > 0:
        crossed["policy × prompt"] = policy * (int(prompts.max()) + 1) + prompts
    found = variance_components(y, crossed)
    if found.reason is not None or found.rest is None or "policy" not in found.facets:
        return msgspec.structs.replace(found, coefficient=None)
    each = len(y) / len(np.unique(policy))
    levels = len(np.unique(prompts)) if prompts is not None else 1
    error = found.facets.get("policy × prompt", 0.0) / levels + found.rest / each
    coefficient = generalisability(found.facets["policy"], error)
    return msgspec.structs.replace(found, error=error, coefficient=coefficient)


def _facets(runs: Sequence[Answers]) -> dict[str, IntArray]:
    """(T,) codes of every facet over all runs, one after another."""
    clusters = pa.concat_arrays([each.cluster_names.take(pa.array(each.cluster)) for each in runs])
    prompts = [_texts(each, "prompt") for each in runs]
    orders, recur = _orders(runs)
    seeds = [str(each.run.header.seed) if each.run is not None else "" for each in runs]
    return {
        "item": codes_of(clusters)[0],
        "prompt": np.unique(np.concatenate(prompts), return_inverse=True)[1],
        "order": orders if recur else np.zeros(len(orders), dtype=np.int64),
        "seed": _codes(seeds, runs),
        "reading": _codes([_how(each) for each in runs], runs),
    }


def _orders(runs: Sequence[Answers]) -> tuple[IntArray, bool]:
    """(T,) codes of menu and order, and whether any menu was shown in two orders."""
    menus, _ = codes_of(pa.concat_arrays([each.menu for each in runs]))
    shown: list[str] = []
    for each in runs:
        if "option_ids" not in each.columns.names():
            shown += [""] * len(each.size)
            continue
        shown += ["\0".join(ids) for ids in each.columns.read("option_ids").to_pylist()]
    order = np.unique(np.asarray(shown, dtype=np.str_), return_inverse=True)[1]
    both = menus * (int(order.max(initial=0)) + 1) + order
    codes = np.unique(both, return_inverse=True)[1].astype(np.int64)
    return codes, len(np.unique(codes)) > len(np.unique(menus))


def _codes(names: Sequence[str], runs: Sequence[Answers]) -> IntArray:
    """(T,) the code of each run's name, for all its decisions."""
    code = np.unique(np.asarray(names, dtype=np.str_), return_inverse=True)[1]
    return np.repeat(code, [len(each.size) for each in runs]).astype(np.int64)


def _texts(answers: Answers, name: str) -> npt.NDArray[np.str_]:
    if name not in answers.columns.names():
        return np.full(len(answers.size), "", dtype=np.str_)
    return answers.columns.texts(name)


def answerer(policy_identity: Mapping[str, str]) -> str:
    """A hash of who answered, however asked."""
    return content_hash(
        {name: each for name, each in policy_identity.items() if name not in _ASKING}
    )


def _who(answers: Answers) -> str:
    return answerer({} if answers.run is None else answers.run.header.policy_identity)


def _how(answers: Answers) -> str:
    identity = {} if answers.run is None else answers.run.header.policy_identity
    return " ".join(identity.get(name, "") for name in ("reading", "normaliser", "how"))


class Elicited(msgspec.Struct, frozen=True):
    """How much of the scores is owed to the way of asking; None where a run says nothing of it."""

    spread: Spread
    normalisers: Normalisers | None
    neither: Neither | None


def elicited(answers: Answers, beside: Sequence[Answers] = ()) -> Elicited:
    """Of a run; `beside` are further runs, over which the variance components are taken, too."""
    return Elicited(spread_of([answers, *beside]), normalisers_of(answers), neither_of(answers))
