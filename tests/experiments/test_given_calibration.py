"""The calibration of `study adapters`, small."""

import pytest

from valueagents.experiments.validity.given_calibration import main, menus_of, rates


@pytest.fixture(scope="module")
def menus(tmp_path_factory):
    return menus_of(tmp_path_factory.mktemp("menus"))


@pytest.mark.slow
@pytest.mark.parametrize("form", ["probability", "choice"])
def test_equal_policies_are_seldom_said_to_differ(menus, form):
    found = rates(menus, "equal", form, 30)
    assert found["false claims"] <= 0.17  # at most 0.04 in 300
    assert found["in sentences"] <= 0.17


@pytest.mark.slow
def test_a_policy_that_differs_in_one_value_is_found_on_six_items_and_on_no_other_value(menus):
    found = rates(menus, "one", "probability", 20)
    assert found["false claims"] <= 0.2
    for env in ("survey", "dilemmas", "judgement"):
        assert found[f"rank, {env}"] >= 0.9
        assert found[f"power, {env}, from the base"] >= 0.8


@pytest.mark.slow
def test_contrasts_and_ranks_of_makers_targets_are_recovered(menus):
    found = rates(menus, "targets", "probability", 10)
    for env in ("survey", "dilemmas", "judgement"):
        assert found[f"contrast above 0, {env}"] == 1
        assert found[f"rank, {env}"] >= 0.9
    assert found["contrast claimed, dilemmas"] >= 0.8


@pytest.mark.slow
def test_the_command_prints_the_shares(tmp_path, capsys):
    main(["--replicates", "2", "--out", str(tmp_path), "--truths", "one", "--forms", "choice"])
    assert "power, survey" in capsys.readouterr().out
