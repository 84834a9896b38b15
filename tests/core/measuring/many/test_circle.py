"""The circle: found where it is, not found where it is not, and never claimed from a few
policies.
"""

import itertools
import math
import sys

import msgspec
import numpy as np
import pytest

from valueagents.cli import main
from valueagents.errors import ConfigError
from valueagents.measuring.many.circle import circle_check, slope_weights
from valueagents.measuring.many.profiles import profiles
from valueagents.report.many_page import circle_page
from valueagents.report.pictures import circle_order
from valueagents.running.execution import RunConfig, execute
from valueagents.taxonomy import Axis, Taxonomy, load_taxonomy

TAXONOMY, BASIC, FLAT = (load_taxonomy(name) for name in ("schwartz20", "schwartz10", "gert10"))
THETA = np.radians([TAXONOMY.angles.get(axis, np.nan) for axis in TAXONOMY.axis_ids])


def circular(units, *, noise=0.5, seed=0, theta=THETA):
    """Profiles of units that each lean in one direction of the circle."""
    rng = np.random.default_rng(seed)
    lean = rng.uniform(0, 2 * np.pi, units)
    x = np.cos(np.nan_to_num(theta) - lean[:, None]) + noise * rng.normal(size=(units, len(theta)))
    x[:, np.isnan(theta)] = rng.normal(size=(units, np.isnan(theta).sum()))
    return x


def test_a_circle_is_found_with_its_opposites():
    check = circle_check(circular(60), TAXONOMY)
    assert check.r_cos.value > 0.9
    assert 0.9 < check.r_cos.low < check.r_cos.high
    assert check.p == 1e-4
    assert all(each.correlation.value < -0.5 for each in check.oppositions)
    assert check.left_out == ["UNO"]
    ideal = np.stack([np.sin(np.radians(check.angles)), np.cos(np.radians(check.angles))], axis=1)
    places = np.array(check.places)
    cosines = (places * ideal).sum(axis=1) / np.linalg.norm(places, axis=1)
    assert np.degrees(np.arccos(cosines)).max() < 25
    assert 0.5 < check.share <= 1


@pytest.mark.slow
def test_noise_is_no_circle():
    ps = [
        circle_check(np.random.default_rng(seed).normal(size=(40, 20)), TAXONOMY).p
        for seed in range(3)
    ]
    assert min(ps) > 0.01


def test_r_cos_is_the_correlation_of_a_loop_over_pairs():
    x = circular(30, noise=2.0, seed=3)
    check = circle_check(x, TAXONOMY)
    x = x[:, :19] - x[:, :19].mean(axis=1, keepdims=True)
    rs, cosines = [], []
    for i in range(19):
        for j in range(i + 1, 19):
            rs.append(np.corrcoef(x[:, i], x[:, j])[0, 1])
            cosines.append(math.cos(math.radians(360 / 19 * (i - j))))
    assert check.r_cos.value == pytest.approx(np.corrcoef(rs, cosines)[0, 1], abs=1e-12)
    groups = TAXONOMY.groupings["higher-order"]
    open_, conserve = (
        x[:, [TAXONOMY.index(a) for a in groups[g]]].mean(axis=1)
        for g in ("Openness to change", "Conservation")
    )
    assert check.oppositions[0].correlation.value == pytest.approx(
        np.corrcoef(open_, conserve)[0, 1], abs=1e-12
    )
    assert "30 policies, fewer than 50" in check.r_cos.reason


def test_permutations_are_counted_by_hand_on_a_small_circle():
    few = circular(
        25, noise=1.0, seed=5, theta=np.radians([BASIC.angles[axis] for axis in BASIC.axis_ids])
    )
    few[:, 5:] = np.nan  # five values: 120 orders, so the drawn p is near the exact one
    check = circle_check(few, BASIC)
    r = np.array(check.correlations)
    angles = np.radians(check.angles)
    pairs = np.triu_indices(5, 1)
    cosines = np.cos(angles[:, None] - angles)

    def fit(order):
        return np.corrcoef(r[pairs], cosines[np.ix_(order, order)][pairs])[0, 1]

    fits = [fit(list(order)) for order in itertools.permutations(range(5))]
    exact = np.mean([each >= fit([0, 1, 2, 3, 4]) - 1e-12 for each in fits])
    assert check.p == pytest.approx(exact, abs=0.02)
    assert check.left_out == list(BASIC.axis_ids[5:])


@pytest.mark.parametrize(
    ("x", "taxonomy", "said"),
    [
        (circular(19), TAXONOMY, "too few policies: 19, 20 needed"),
        (np.zeros((0, 20)), TAXONOMY, "too few policies: 0"),
        (np.zeros((30, 20)), TAXONOMY, "too few values: 0"),
        (np.outer(np.linspace(1, 6, 30), np.ones(20)), TAXONOMY, "too few values: 0"),
        (np.linspace(1, 6, 30)[:, None] + np.linspace(0, 1, 20) / 3, TAXONOMY, "too few values: 0"),
        (np.random.default_rng(0).normal(size=(30, 10)), FLAT, "do not lie on a circle"),
    ],
)
def test_what_cannot_be_said_is_said_with_its_reason(x, taxonomy, said):
    check = circle_check(x, taxonomy)
    assert check.r_cos.value is None
    assert said in check.r_cos.reason
    assert check.p is None
    assert check.places == []


def test_side_effects_that_follow_the_circle_have_its_slope():
    target = ("POD", "POR")
    middle = np.radians((TAXONOMY.angles["POD"] + TAXONOMY.angles["POR"]) / 2)
    shifts = 0.3 * np.cos(np.nan_to_num(THETA) - middle) + 0.1
    shifts[TAXONOMY.index("POD")] = 9.0  # the target itself does not count
    weights = slope_weights(TAXONOMY, target, np.ones(20, dtype=bool))
    assert weights @ shifts == pytest.approx(0.3, abs=1e-12)
    assert slope_weights(TAXONOMY, ("UNO",), np.ones(20, dtype=bool)) is None
    assert slope_weights(FLAT, ("death",), np.ones(10, dtype=bool)) is None


def test_the_human_reference_fits_the_cosine():
    steps = np.cos(np.radians(36 * np.arange(1, 6)))
    assert np.corrcoef(steps, TAXONOMY.people.by_distance)[0, 1] > 0.95


@pytest.fixture(scope="module")
def policies(tmp_path_factory):
    """20 policies that lean round the circle, on the same survey."""
    folder = tmp_path_factory.mktemp("policies")
    made = []
    for k in range(20):
        lean = 2 * np.pi * k / 20
        weights = ",".join(
            f"{axis}={1.5 * math.cos(math.radians(angle) - lean):.3f}"
            for axis, angle in TAXONOMY.angles.items()
        )
        config = RunConfig(
            env="valueagents/Survey-v0",
            env_options={"poles": "affirm"},
            policy=f"known:{weights}",
            seed=1,
        )
        made.append(execute(config, folder / str(k)))
    return made


@pytest.mark.slow
def test_what_menus_alone_give_is_what_policies_of_independent_values_show(tmp_path):
    """In the bundled dilemmas neighbours share options more than opposites do."""
    config = RunConfig(env="valueagents/Dilemma-v0", policy="", seed=1)
    independent = [
        execute(
            msgspec.structs.replace(config, policy=f"known:normal?seed={100 + k}"),
            tmp_path / str(k),
        )
        for k in range(40)
    ]
    table = profiles(independent)
    check = circle_check(table.of(), table.taxonomy, menus=table.menus)
    assert check.menus_alone > 0.2
    assert check.r_cos.value == pytest.approx(check.menus_alone, abs=0.15)
    page = circle_page(check, table, ["valueagents/Dilemma-v0"])
    assert check.p > 0.05 or "no better than these menus alone" in page


@pytest.mark.slow
def test_in_a_survey_no_values_are_offered_together(policies):
    table = profiles(policies)
    assert circle_check(table.of(), table.taxonomy, menus=table.menus).menus_alone is None


def test_the_menus_share_is_that_of_many_simulated_profiles():
    rng = np.random.default_rng(2)
    menus = np.linspace(0.2, 2, 20)[:, None] * (np.eye(20) + 0.3 * rng.normal(size=(20, 20)))
    menus += rng.normal(size=20)  # a level, which centring takes away
    simulated = rng.normal(size=(20_000, 20)) @ menus.T
    check = circle_check(simulated[:30], TAXONOMY, menus=menus)
    kept = [TAXONOMY.index(axis) for axis in check.axes]
    r = np.corrcoef(
        simulated[:, kept] - simulated[:, kept].mean(axis=1, keepdims=True), rowvar=False
    )
    cosines = np.cos(THETA[kept][:, None] - THETA[kept])
    pairs = np.triu_indices(len(kept), 1)
    assert check.menus_alone == pytest.approx(np.corrcoef(r[pairs], cosines[pairs])[0, 1], abs=0.02)


def test_one_policy_given_twice_is_not_two(policies, tmp_path):
    header = policies[0].header
    config = RunConfig(env=header.env, env_options=header.env_options, policy=header.policy, seed=2)
    for again in (policies[0], execute(config, tmp_path / "other seed")):
        with pytest.raises(ConfigError, match="are of one policy: give each once"):
            profiles([*policies[:3], again])


@pytest.mark.slow
def test_known_policies_round_the_circle_show_it_on_the_page(policies, tmp_path):
    table = profiles(policies)
    assert table.form == "probability"
    check = circle_check(table.of(), table.taxonomy)
    assert check.r_cos.value > 0.98
    page = circle_page(check, table, ["valueagents/Survey-v0"])
    assert page.count("<svg") == 1
    assert "follow the circle better than with shuffled angles" in page
    assert "569 people" in page
    assert "<script" not in page


def test_a_few_policies_get_a_page_that_says_too_few(policies, tmp_path, monkeypatch, capsys):
    words = [str(each.path) for each in policies[:3]]
    monkeypatch.setattr(
        sys, "argv", ["valueagents", "circle", *words, "--out", str(tmp_path / "c.html")]
    )
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    assert "no circle can be tested: too few policies: 3, 20 needed" in capsys.readouterr().out
    assert "too few policies: 3" in (tmp_path / "c.html").read_text(encoding="utf-8")


def placed(**angles):
    axes = tuple(Axis(name, name, "x", angle=angle) for name, angle in angles.items())
    return Taxonomy("own", 1, "made up", axes, off_circle=tuple(a for a in angles if a == "off"))


def test_angles_that_the_axes_carry_are_a_circle_in_whatever_order_they_are_listed():
    own = placed(a=10.0, d=250.0, b=80.0, off=None, c=150.0, e=300.0)
    theta = np.radians([np.nan if axis.angle is None else axis.angle for axis in own.axes])
    check = circle_check(circular(60, theta=theta), own)
    assert check.axes == ["a", "d", "b", "c", "e"]
    assert check.angles == [10.0, 250.0, 80.0, 150.0, 300.0]
    assert check.r_cos.value > 0.9
    assert check.people is None
    assert [own.axis_ids[v] for v in circle_order(own)] == ["a", "b", "c", "d", "e", "off"]
    assert circle_order(TAXONOMY) == list(range(20))


def test_there_is_no_slope_where_all_other_values_are_equally_far_from_the_target():
    own = placed(a=0.0, b=90.0, c=270.0, d=90.0)
    assert slope_weights(own, ("a",), np.ones(4, dtype=bool)) is None
    assert slope_weights(own, ("b",), np.ones(4, dtype=bool)) is not None
