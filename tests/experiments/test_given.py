"""`study adapters` with `known` policies in place of adapters: what is set is found, and no more."""

import re

import msgspec
import pytest

from valueagents.errors import ConfigError
from valueagents.experiments.studies.command import study
from valueagents.experiments.studies.given import run_given
from valueagents.experiments.studies.given_design import read_given, spec_of

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
GAME = """
[[envs]]
name = "town"
role = "behaviour"
env = "valueagents/ChoiceScript-v0"
env_options = { max_steps = 8 }
episodes = 2
replay = 30
random_episodes = 2
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """A whole study of known policies in the survey, in dilemmas and in a game."""
    folder = tmp_path_factory.mktemp("given")
    file = folder / "given.toml"
    file.write_text(GIVEN + GAME)
    report = run_given(str(file), folder / "out")
    record = msgspec.json.decode((folder / "out" / "adapters.json").read_bytes())
    return report, record


@pytest.mark.slow
def test_ranks_and_contrasts_that_were_set_are_found(found):
    for env in found[1]["envs"][:2]:
        on_hedonism = {name: row["HED"]["value"] for name, row in env["profiles"].items()}
        ranked = sorted(on_hedonism, key=on_hedonism.get, reverse=True)
        assert ranked[:2] == ["hedonist", "half a hedonist"]
        [contrast] = env["contrasts"]
        assert contrast["contrasts"]["these_values"]["estimate"]["value"] > 0.2
        assert contrast["p_adjusted"] is None


@pytest.mark.slow
@pytest.mark.parametrize("place", [0, 1])
def test_every_difference_that_was_set_holds_on_six_items_too_and_no_other(found, place):
    env = found[1]["envs"][place]
    weighs = {
        "base": None,
        "hedonist": "HED",
        "half a hedonist": "HED",
        "traditional": "TRA",
        "caring": "BEC",
    }
    held = {
        (each["first"], each["second"], each["axis"])
        for each in env["differences"]
        if each["p_adjusted"] is not None and each["p_adjusted"] <= 0.05
    }
    names = list(weighs)
    true = {
        (first, second, axis)
        for k, first in enumerate(names)
        for second in names[k + 1 :]
        for axis in {weighs[first], weighs[second]} - {None}
    }
    assert held == true
    assert len(true) == 15


@pytest.mark.slow
def test_the_answer_is_short_and_says_what_cannot_be_said(found):
    answer = found[0].answer
    assert found[1]["answer"] == answer
    said = " ".join(answer)
    assert "In 'survey' 15 of 200 differences (10 pairs, 20 values) hold" in said
    assert "these adapters only" in said
    assert "no claim is made about such adapters" in said
    assert re.search("Nothing is said of .*: too few items are at stake", said)
    assert "none of this says that one follows the other" in said
    assert "at most 5 %" in answer[-1]
    assert all(len(paragraph) < 1100 for paragraph in answer)
    for untrue in ("followed", "moved as meant"):
        assert untrue not in said


@pytest.mark.slow
def test_a_game_is_compared_on_common_states(found):
    _, _, town = found[1]["envs"]
    assert town["env"] == "town, same states"
    assert town["situations"] == 30
    assert town["unit"] == "episode and menu, two-way"
    competence = [each["competence"] for each in town["runs"]]
    assert competence[0] is None
    assert all(each["completion"]["value"] is not None for each in competence[1:])


@pytest.mark.slow
def test_the_page_needs_nothing_else_and_warns_of_policies_that_saw_the_annotations(found):
    page = found[0].page.read_text()
    assert "default-src 'none'" in page
    assert not re.search(r"<script|<link|src=|href=\"http", page)
    assert page.index("In &#39;dilemmas&#39;") < page.index("<svg") < page.index("<table")
    for words in (
        "a calibration, not a finding",
        "Differences of two policies",
        "Shift of each policy from the base",
        "What makers meant to move up",
        "How the model was asked",
        "valueagents study adapters",
        "valueagents run --env valueagents/Survey-v0",
    ):
        assert words in page


@pytest.mark.slow
def test_a_repeated_command_asks_nobody_again(found, tmp_path):
    file = tmp_path / "given.toml"
    file.write_text(GIVEN[: GIVEN.rindex("[[envs]]")])
    first = run_given(str(file), tmp_path / "out")
    stored = {each: each.read_bytes() for each in (tmp_path / "out" / "runs").rglob("episodes-*")}
    assert stored
    assert run_given(str(file), tmp_path / "out").answer == first.answer
    assert {each: each.read_bytes() for each in stored} == stored


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ('policy = "known:TRA=1.2"', ""),
            r"given\.toml, .*give one of policy, adapter and persona",
        ),
        (
            ("valueagents/Survey-v0", "valueagents/Serve-v0"),
            r"given\.toml, env 'survey': unknown env",
        ),
        (('name = "caring"', 'name = "traditional"'), "names a policy twice"),
        (('name = "caring"', 'name = "base"'), "'base'; name each once"),
        (('target = "TRA"', "colour = 1"), "colour"),
        (('target = "TRA"', 'target = "TRAD"'), "TRAD.*did you mean|TRAD.*TRA"),
        (('name = "survey"', 'name = "dilemmas"'), "names an env twice"),
        (('policy = "known:HED=0.6"', 'policy = "known:HED=1.2"'), "is the same policy as"),
        (('policy = "known:HED=0.6"', 'policy = "known:BEC=0"'), "the same policy as 'base'"),
        (("valueagents/Survey-v0", "valueagents/ChoiceScript-v0"), "is a game.*replay = NUMBER"),
    ],
)
def test_a_mistake_is_named_before_anything_is_asked(tmp_path, change, message):
    file = tmp_path / "given.toml"
    file.write_text(GIVEN.replace(*change))
    with pytest.raises(ConfigError, match=message):
        read_given(str(file))


def test_what_belongs_to_a_study_that_trains_is_refused(tmp_path):
    file = tmp_path / "given.toml"
    file.write_text(GIVEN)
    with pytest.raises(ConfigError, match="of studies that train"):
        study("adapters", str(file), out=tmp_path / "out", dry_run=True, noise_from=None)


@pytest.mark.slow
@pytest.mark.parametrize(("design", "count"), [("characters", 10), ("organisms", 9)])
def test_the_bundled_designs_name_public_adapters_by_hub_ids(design, count):
    study = read_given(design)
    assert len(study.policies) == count
    for each in study.policies:
        assert len(each.adapter.split("/")) in (2, 3)
        assert spec_of(study, each, {"reading": "label"}).startswith(f"{study.base}?reading=label&")
