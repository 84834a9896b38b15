"""Comparisons where a value has few clusters, as in surveys and judgements: what can be found, and
what is said where nothing could be.
"""

import msgspec
import numpy as np
import pytest

from two_axes import decision, pair
from valueagents.measuring.comparison import compare
from valueagents.taxonomy import Axis, Taxonomy


def paired(*sides, **settings):
    """The paired difference that the comparison's verdict rests on."""
    found = compare(*sides, **settings)
    return found[found.headline]


def survey(rng, moved):
    """Two runs' decisions on 20 values of 6 pairs each: the first value moved by 3 sd in the
    second.
    """
    axes = [f"V{v:02d}" for v in range(20)]
    sides = [[], []]
    for v, axis in enumerate(axes):
        menu = [{a: x if a == axis else 0.0 for a in axes} for x in (1.0, -1.0)]
        for k in range(6):
            shift = rng.normal(0.09 if moved and v == 0 else 0.0, 0.03)
            for side, p in zip(sides, (0.5 + shift, 0.5), strict=True):
                side.append(decision(f"{axis}-{k}", menu, 0, (p, 1 - p)))
    taxonomy = Taxonomy(
        id="two", version=1, source="tests", axes=tuple(Axis(a, a, a) for a in axes)
    )
    return sides, taxonomy


@pytest.mark.parametrize("primary", [None, "V07"])
def test_a_value_that_is_not_primary_is_found_on_six_pairs_and_the_page_says_how(tmp_path, primary):
    sides, taxonomy = survey(np.random.default_rng(3), moved=True)
    runs = pair(tmp_path, *sides, taxonomy=taxonomy)
    for run in runs:
        run.header = msgspec.structs.replace(run.header, min_contested=1)
    verdict = paired(*runs, primary=primary)
    assert [axis.axis for axis in verdict.axes if axis.differs] == ["V00"]
    assert "max-T with joint flips (no p is below 0.031" in verdict.family
    assert verdict.test == "sign-flip over the 6 clusters in which a value differs, all flips"
    assert verdict.warnings == []


def test_where_no_p_could_be_small_enough_the_comparison_says_so(tmp_path):
    menus = [[{"A": 1.0}, {}] for _ in range(24)]
    clusters = [s % 5 for s in range(24)]
    sides = ([decision(s, m, c) for s, m in enumerate(menus)] for c in (0, 1))
    verdict = paired(*pair(tmp_path, *sides, clusters=clusters), primary="A")
    assert (verdict.axes[0].p, verdict.axes[0].differs) == (2 / 2**5, False)
    assert verdict.warnings == [
        "A: no p below 0.05 is possible with fewer than 6 clusters; nothing can be said of them"
    ]


def test_clusters_in_which_a_value_did_not_move_count_as_those_in_which_it_could_have(tmp_path):
    """Of two policies that part in 3 items of 30 nothing is impossible: they are alike."""
    menus = [[{"A": 1.0, "B": 1.0}, {}] for _ in range(30)]
    sides = (
        [decision(s, m, 0, p if s < 3 else (0.5, 0.5)) for s, m in enumerate(menus)]
        for p in ((0.6, 0.4), (0.5, 0.5))
    )
    verdict = paired(*pair(tmp_path, *sides))
    assert verdict.warnings == []
    assert verdict.family == "Benjamini–Hochberg at 0.05 over the axes"
    assert verdict.axes[0].p == 2 / 2**3
