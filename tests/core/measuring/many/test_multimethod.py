"""Convergent validity of `known` policies, whose values are the same in every env, and
reliabilities by hand.
"""

import json
import sys

import msgspec
import numpy as np
import pytest

from valueagents.cli import main
from valueagents.errors import ConfigError
from valueagents.measuring.many.multimethod import multimethod
from valueagents.measuring.many.profiles import profiles
from valueagents.report.many_page import validity_page
from valueagents.running.execution import RunConfig, execute

pytestmark = pytest.mark.slow  # many policies in many envs

ENVS = {
    "survey": RunConfig(
        env="valueagents/Survey-v0",
        policy="",
        seed=1,
        env_options={"variants": 2, "poles": "affirm"},
    ),
    "judgement": RunConfig(env="valueagents/Judgement-v0", policy="", seed=1),
    "dilemma": RunConfig(env="valueagents/Dilemma-v0", policy="", seed=1),
}


def played(folder, env, spec, seed=1):
    config = ENVS[env]
    made = RunConfig(env=config.env, policy=spec, seed=seed, env_options=config.env_options)
    return execute(made, folder / f"{env}-{spec.replace(':', '_').replace('?', '_')}-{seed}")


@pytest.fixture(scope="module")
def policies(tmp_path_factory):
    """20 policies of known weights in three envs."""
    folder = tmp_path_factory.mktemp("policies")
    specs = [f"known:normal?seed={k}" for k in range(20)]
    return {env: [played(folder, env, spec) for spec in specs] for env in ENVS}


@pytest.fixture(scope="module")
def found(policies):
    return multimethod([each for runs in policies.values() for each in runs])


def test_the_same_values_agree_across_envs_and_others_do_not(found):
    assert [(pair.first[12:], pair.second[12:]) for pair in found.pairs] == [
        ("Dilemma-v0", "Judgement-v0"), ("Dilemma-v0", "Survey-v0"), ("Judgement-v0", "Survey-v0"),
    ]  # fmt: skip
    for pair in found.pairs:
        assert pair.convergent.value > 0.85
        assert abs(pair.discriminant.value) < 0.1
        assert pair.convergent.low < pair.convergent.value < pair.convergent.high
        assert pair.wins > 0.9
        assert pair.profile.value > 0.7
    assert len(found.policies) == 20


def test_the_matrix_is_numpys_of_the_profiles(policies, found):
    x = np.hstack([profiles(policies[env]).of() for env in ("dilemma", "judgement", "survey")])
    x = x.reshape(20, 3, 20)[
        :, :, [axis in found.axes for axis in profiles(policies["survey"]).taxonomy.axis_ids]
    ]
    x = x - x.mean(axis=2, keepdims=True)
    wanted = np.corrcoef(x.reshape(20, -1), rowvar=False)
    np.testing.assert_allclose(np.array(found.matrix), wanted, atol=1e-12)
    count = len(found.axes)
    assert found.pairs[1].convergent.value == pytest.approx(
        np.mean(np.diag(wanted[:count, 2 * count :])), abs=1e-12
    )


def test_known_policies_agree_with_themselves(found):
    by_kind = {(each.method[12:], each.kind): each.value.value for each in found.reliabilities}
    assert by_kind["Survey-v0", "split half"] > 0.99
    assert by_kind["Survey-v0", "retest: prompts"] > 0.99
    assert by_kind["Dilemma-v0", "split half"] > 0.6
    assert ("Dilemma-v0", "retest: seeds") not in by_kind


def test_a_second_seed_is_a_retest(policies, tmp_path):
    again = [played(tmp_path, "judgement", f"known:normal?seed={k}", seed=2) for k in range(20)]
    [_, retest] = multimethod([*policies["judgement"], *again]).reliabilities
    assert (retest.kind, retest.policies) == ("retest: seeds", 20)
    assert retest.value.value == pytest.approx(1.0)


def test_split_half_is_spearman_browns_of_random_policies_near_zero(tmp_path):
    """Policies that all choose by chance have no true differences to be reliable about."""
    [only] = multimethod([played(tmp_path, "judgement", "random")]).reliabilities
    assert only.value.value is None
    assert "too few policies: 1" in only.value.reason


def test_a_few_policies_get_profiles_but_no_correlations_over_policies(policies, tmp_path):
    few = multimethod([*policies["survey"][:3], *policies["dilemma"][:3]])
    assert few.matrix is None
    assert few.pairs[0].convergent.value is None
    assert few.pairs[0].profile.value > 0.5
    assert "too few policies: 3, 20 needed" in few.pairs[0].profile.reason


def test_two_sets_of_options_of_one_env_are_two_methods(policies, tmp_path):
    """The train half of the survey is another method than its test half, and no second seed of
    it.
    """
    settings = RunConfig(
        env="valueagents/Survey-v0", policy="", env_options={"split": "train", "poles": "affirm"}
    )
    other = [
        execute(
            msgspec.structs.replace(settings, policy=f"known:normal?seed={k}", seed=2),
            tmp_path / str(k),
        )
        for k in range(20)
    ]
    found = multimethod([*policies["survey"], *other])
    assert found.methods == [
        "valueagents/Survey-v0 (poles=affirm, split=train)",
        "valueagents/Survey-v0 (poles=affirm, variants=2)",
    ]  # fmt: skip
    assert found.pairs[0].convergent.value > 0.9
    assert "retest: seeds" not in {each.kind for each in found.reliabilities}


def test_envs_without_a_common_policy_are_refused(policies):
    with pytest.raises(ConfigError, match="no policy was run by all methods"):
        multimethod([policies["survey"][0], policies["dilemma"][1]])


def test_the_page_and_the_command_show_the_table(policies, tmp_path, monkeypatch, capsys):
    every = [each for runs in policies.values() for each in runs]
    page = validity_page(multimethod(every))
    assert page.count("<svg") == 1
    assert "valueagents/Dilemma-v0 – valueagents/Survey-v0" in page
    words = [str(each.path) for each in (*policies["survey"], *policies["judgement"])]
    file = tmp_path / "v.html"
    monkeypatch.setattr(
        sys, "argv", ["valueagents", "validity", *words, "--json", "--out", str(file)]
    )
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    printed = capsys.readouterr()
    assert json.loads(printed.out)["methods"] == [
        "valueagents/Judgement-v0",
        "valueagents/Survey-v0",
    ]
    assert printed.err.strip().endswith("v.html")  # --json has the standard output to itself
    assert "Judgement-v0 – valueagents/Survey-v0" in file.read_text(encoding="utf-8")
