"""Other values for stored decisions: an annotation from a file, and groups of axes; no model, no
env.
"""

import json
from importlib.resources import files

import msgspec
import numpy as np
import pytest

from valueagents.cli import main
from valueagents.errors import ConfigError, DataError
from valueagents.measuring.reading import read_answers
from valueagents.measuring.scores import score
from valueagents.running.execution import RunConfig, execute

BANK = files("valueagents.envs").joinpath("data", "dilemmas-1.jsonl")


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    config = RunConfig(env="valueagents/Dilemma-v0", policy="known:BEC=1", seed=2)
    return execute(config, tmp_path_factory.mktemp("runs") / "known")


def _bank(tmp_path, change=lambda item: item):
    header, *items = [json.loads(line) for line in BANK.read_text().splitlines()]
    file = tmp_path / "values.jsonl"
    file.write_text(
        "\n".join(json.dumps(line) for line in [header, *(change(item) for item in items)])
    )
    return file


def _axes(scores):
    return [msgspec.to_builtins(axis) for axis in scores.axes]


def test_the_banks_own_annotations_give_the_runs_own_scores(played, tmp_path):
    assert _axes(score(played, annotations=_bank(tmp_path))) == _axes(score(played))


def test_values_turned_round_turn_the_tally_round(played, tmp_path):
    def turned(item):
        for option in item["options"]:
            option["values"] = {
                axis: None if x is None else -x for axis, x in option["values"].items()
            }
        return item

    mine, other = score(played), score(played, annotations=_bank(tmp_path, turned))
    assert [axis["E1"].value for axis in other.axes] == [-axis["E1"].value for axis in mine.axes]
    assert any(axis["E1"].value for axis in mine.axes)


def test_decisions_that_the_file_does_not_list_are_counted_as_not_annotated(played, tmp_path):
    file = tmp_path / "some.jsonl"
    file.write_text("\n".join(_bank(tmp_path).read_text().splitlines()[:51]))
    counts = score(played, annotations=file).counts
    assert (counts.decisions, counts.unannotated) == (192, 142)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda item: {**item, "options": item["options"][:1]}, "lacks the option"),
        (lambda item: {**item, "id": item["id"] + "x"}, "none of the run's situations"),
        (
            lambda item: {
                **item,
                "options": [{**o, "values": {"BEC": 2}} for o in item["options"]],
            },
            "BEC = 2",
        ),
        (
            lambda item: {
                **item,
                "options": [{**o, "values": {"BECK": 1}} for o in item["options"]],
            },
            "Did you mean",
        ),
        (lambda item: {"id": item["id"]}, "line 2.*options"),
        (
            lambda item: {
                **item,
                "options": [{**o, "values": {"FOO": 1}} for o in item["options"]],
            },
            "line 2: unknown axis",
        ),
        (lambda item: {**item, "id": "twice"}, "line 3: item id 'twice' is there twice"),
    ],
)
def test_a_file_that_does_not_fit_is_named(played, tmp_path, change, message):
    with pytest.raises((DataError, ConfigError), match=message):
        score(played, annotations=_bank(tmp_path, change))


@pytest.mark.parametrize("text", ["", "junk"])
def test_an_empty_or_junk_file_is_named(played, tmp_path, text):
    file = tmp_path / "none.jsonl"
    file.write_text(text)
    with pytest.raises(DataError, match=r"none\.jsonl"):
        score(played, annotations=file)


def test_a_group_is_the_mean_of_its_axes(played):
    answers = read_answers(played)
    groups = read_answers(played, grouping="higher-order")
    taxonomy = answers.taxonomy
    for g, members in enumerate(taxonomy.groupings["higher-order"].values()):
        wanted = [np.mean([row[taxonomy.index(axis)] for axis in members]) for row in answers.x]
        assert np.allclose(groups.x[:, g], wanted, atol=1e-12, equal_nan=True)
    assert groups.taxonomy.axis_ids == (
        "Self-transcendence",
        "Self-enhancement",
        "Openness to change",
        "Conservation",
    )


def test_the_command_scores_groups(played, capsys, monkeypatch):
    monkeypatch.setattr(
        "sys.argv",
        ["valueagents", "score", str(played.path), "--grouping", "higher-order", "--json"],
    )
    with pytest.raises(SystemExit, match="0"):
        main()
    assert json.loads(capsys.readouterr().out)["taxonomy"] == "schwartz20, higher-order/1"
    with pytest.raises(ConfigError, match="Did you mean 'higher-order'"):
        score(played, grouping="higher-ordr")
