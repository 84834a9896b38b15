"""`study adapters` with `known` policies in place of adapters: what is set is found, and no more."""

import msgspec
import numpy as np
import pytest

from valueagents.errors import ConfigError
from valueagents.experiments.studies.given import pairwise, read_given, run_given, spec_of

GIVEN = """
base = "known:BEC=0"

[[policies]]
name = "hedonist"
policy = "known:HED=1.2"
target = "HED"

[[policies]]
name = "half a hedonist"
policy = "known:HED=0.6"

[[policies]]
name = "traditional"
policy = "known:TRA=1.2"
target = "TRA"

[[policies]]
name = "caring"
policy = "known:BEC=1.2"
target = "BEC"

[[envs]]
name = "dilemmas"
role = "behaviour"
env = "valueagents/Dilemma-v0"

[[envs]]
name = "survey"
role = "survey"
env = "valueagents/Survey-v0"
"""


@pytest.mark.slow
def test_ranks_and_contrasts_that_were_set_are_found(tmp_path):
    file = tmp_path / "given.toml"
    file.write_text(GIVEN)
    said = run_given(str(file), tmp_path / "out")
    record = msgspec.json.decode((tmp_path / "out" / "adapters.json").read_bytes())
    assert record["answer"] == said
    for env in record["envs"]:
        on_hedonism = {name: row["HED"] for name, row in env["profiles"].items()}
        ranked = sorted(on_hedonism, key=on_hedonism.get, reverse=True)
        assert ranked[:2] == ["hedonist", "half a hedonist"]
        [contrast] = env["contrasts"]
        assert contrast["these_values"]["estimate"]["value"] > 0.2
        assert contrast["these_values"]["p"] is None
    differ = {
        (each["first"], each["second"], each["axis"]): each["difference"]
        for each in record["envs"][0]["differences"]  # six pairs a value, as in the survey, are few
        if each["p_max_t"] <= 0.05
    }
    assert differ["base", "hedonist", "HED"] < -0.2
    assert differ["hedonist", "half a hedonist", "HED"] > 0
    assert {axis for _, _, axis in differ} == {"HED", "TRA", "BEC"}
    assert "these adapters only" in said
    assert "hedonist" in said


@pytest.mark.slow
def test_policies_that_do_not_differ_are_seldom_said_to():
    """Side effects of sd 0.3 on every item, no value effect: any false call in 5 % of 100 draws; more
    than 12 are a 0.2 % event.
    """
    false = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        cells = rng.normal(0, 0.3, (4, 120, 6))
        cells[:, rng.random((120, 6)) < 0.7] = np.nan
        found, _ = pairwise(cells, np.arange(120), "abcd", list("uvwxyz"), seed=seed)
        false += any(each.differs for each in found)
    assert false <= 12


def test_a_difference_that_is_there_is_said_first():
    rng = np.random.default_rng(1)
    cells = rng.normal(0, 0.1, (3, 60, 2))
    cells[1, :, 0] += 0.3
    found, test = pairwise(cells, np.arange(60), "abc", ["x", "y"], seed=0)
    assert {(each.first, each.second) for each in found if each.differs} == {("a", "b"), ("b", "c")}
    assert found[0].axis == "x"
    assert "max-T over 6 pairs and values" in test


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('policy = "known:TRA=1.2"', ""), "give one of policy, adapter and persona"),
        (('name = "caring"', 'name = "traditional"'), "names a policy twice"),
        (('name = "caring"', 'name = "base"'), "'base'; name each once"),
        (('target = "TRA"', "colour = 1"), "colour"),
    ],
)
def test_a_mistake_is_named_before_anything_is_asked(tmp_path, change, message):
    file = tmp_path / "given.toml"
    file.write_text(GIVEN.replace(*change))
    with pytest.raises(ConfigError, match=message):
        read_given(str(file))


@pytest.mark.slow
@pytest.mark.parametrize(("design", "count"), [("characters", 10), ("organisms", 9)])
def test_the_bundled_designs_name_public_adapters_by_hub_ids(design, count):
    study = read_given(design)
    assert len(study.policies) == count
    for each in study.policies:
        assert len(each.adapter.split("/")) in (2, 3)
        assert spec_of(study, each, {"reading": "label"}).startswith(f"{study.base}?reading=label&")
