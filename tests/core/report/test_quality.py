"""What a page says of how far its numbers can be trusted: competence, position bias, columns."""

import json
import re
from importlib.resources import files
from pathlib import Path

import msgspec
import pytest

import valueagents as va
from valueagents.measuring.summary import Results, summarise
from valueagents.report.answer import answer, cautions, position_biases
from valueagents.report.page import page
from valueagents.report.quality import competence, quality
from valueagents.report.results_tables import results_tables
from valueagents.running.execution import RunConfig, execute
from valueagents.running.header import write_header
from valueagents.running.runs import Run

SANITY, DILEMMAS = "valueagents/Sanity-v0", "valueagents/Dilemma-v0"


def right_answers() -> dict[str, str]:
    """Question -> id of its right answer."""
    text = files("valueagents.envs").joinpath("data", "sanity.jsonl").read_text(encoding="utf-8")
    items = [json.loads(line) for line in text.splitlines()[1:]]
    return {
        item["text"]: next(o["id"] for o in item["options"] if o["values"].get("correct"))
        for item in items
    }


def played(path: Path, env: str, policy: str = "random", **options: object) -> Run:
    return execute(RunConfig(env=env, policy=policy, **options), path)


def test_who_answers_easy_questions_by_guessing_is_told_first(tmp_path: Path) -> None:
    runs = [played(tmp_path / "a", DILEMMAS), played(tmp_path / "b", SANITY)]
    found = summarise(runs)
    share = found.envs[1].policies[0].competence
    assert share is not None
    assert share.guessing == pytest.approx(0.25)
    assert not share.holds
    first = cautions(found)[0]
    assert "right; guessing would get 25 %: it may choose without understanding" in first.said
    assert first.where == SANITY
    assert answer(found)[0] == "Nothing can be claimed of what random values."


def test_who_knows_the_answers_is_not_cautioned_and_shown_beside_guessing() -> None:
    known = right_answers()
    found = summarise([va.run(SANITY, lambda view: known[view.observation], episodes=60)])
    share = found.envs[0].policies[0].competence
    assert share is not None
    assert (share.right, share.holds) == (1.0, True)
    assert not any("guessing" in each.said for each in cautions(found))
    table = competence(found)
    assert table.columns == ["Right answers", "By guessing"]
    [(_, _, cells)] = table.rows
    assert cells[0].text.startswith("100 % [")
    assert cells[1].text == "25 %"
    rows = results_tables(found)["quality"].to_pylist()
    told = {row["what"]: row["value"] for row in rows}
    assert told["share of right answers by guessing"] == pytest.approx(0.25)


def test_columns_in_which_nothing_happened_are_named_in_place_of_shown(tmp_path: Path) -> None:
    found = summarise([played(tmp_path / "a", DILEMMAS)])
    table = quality(found)
    assert table.columns == ["Decisions", "Φ(0)", "p, uniform"]
    assert table.unseen[:3] == ["Unread", "Cut", "Withheld"]
    assert table.rows[0][2][0].text == "192"
    assert "Left out, being 0 or without a number everywhere: Unread, Cut" in page(found)


def test_what_went_wrong_has_its_column() -> None:
    def unreadable(view: va.View) -> va.Choice:
        return va.Choice(None, "failed", raw="?")

    found: Results = summarise([va.run(DILEMMAS, unreadable, episodes=30)])
    table = quality(found)
    assert "Unread" in table.columns
    assert table.rows[0][2][table.columns.index("Unread")].text == "90"  # each is asked three times


def test_adapters_are_told_to_be_policies_of_their_own(tmp_path: Path) -> None:
    runs = []
    for k, name in enumerate("ab"):
        run = played(tmp_path / name, DILEMMAS, f"known:BEC={k}")
        identity = {**run.header.policy_identity, "adapter": f"hash of {name}"}
        header = msgspec.structs.replace(run.header, policy_identity=identity)
        write_header(run.path, header)
        runs.append(run.path)
    said = [
        each for each in cautions(summarise(runs)) if "adapters are policies" in each.said.lower()
    ]
    assert [each.where for each in said] == ["known:BEC=0, known:BEC=1"]
    assert "takes the seeds of a training together" in said[0].said


def test_a_position_bias_is_one_sentence_for_menus_of_all_sizes() -> None:
    places = {"2": [0.73, 0.27], "3": [0.62, 0.2, 0.18], "4": [0.26, 0.25, 0.25, 0.24]}
    assert list(position_biases(places)) == [
        "position bias: of the probability the option listed first gets 73 % on menus of 2 and"
        " 62 % on menus of 3 (without bias 50 % and 33 %)"
    ]
    assert list(position_biases({"2": [0.55, 0.45]})) == []
    [last] = position_biases({"3": [0.1, 0.2, 0.7]})
    assert re.search("listed third gets 70 % on menus of 3", last)
