"""What people chose, from an empty sheet to a policy that is compared with another."""

import csv
import json
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

import valueagents as va
from valueagents.cli import main
from valueagents.envs.items.dilemma import DilemmaEnv
from valueagents.files.sheets import read_sheet
from valueagents.running.runs import Run

Cli = Callable[..., tuple[int, str, str]]
DILEMMAS = "valueagents/Dilemma-v0"
AT_HOME = ("--env-option", "setting=home")  # 24 items


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Runs a command in this process: code, output, errors."""

    def call(*words: Any) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["valueagents", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0), *capsys.readouterr()

    return call


def _fill(sheet: Path, people: list[str]) -> None:
    """The options of every item have been taken by so many people, in the order of the sheet."""
    header, *rows = csv.reader(sheet.read_text("utf-8-sig").splitlines(keepends=True))
    filled = [[*row[:-1], people[int(row[1]) - 1]] for row in rows]
    with sheet.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *filled])


def test_a_sheet_shows_what_an_agent_sees_and_no_mark_or_id(tmp_path: Path, cli: Cli):
    sheet = tmp_path / "a.csv"
    code, said, _ = cli("annotate", DILEMMAS, "--out", sheet, "--seed", 1)
    assert code == 0, said
    assert "192 items" in said
    bank = DilemmaEnv().bank
    items = read_sheet(sheet, ("people",))
    assert {i.situation for i in items} == {i.text for i in bank.items}
    assert not [i.id for i in bank.items if i.id in sheet.read_text()]
    assert [i.situation for i in items] != [i.text for i in bank.items]


def test_the_seed_decides_the_order(tmp_path: Path, cli: Cli):
    texts = []
    for name, seed in [("a", 1), ("b", 1), ("c", 2)]:
        sheet = tmp_path / f"{name}.csv"
        cli("annotate", DILEMMAS, "--out", sheet, "--seed", seed, "--items", 5)
        texts.append(sheet.read_text())
    assert texts[0] == texts[1] != texts[2]


def test_a_filled_sheet_is_never_overwritten(tmp_path: Path, cli: Cli):
    sheet = tmp_path / "a.csv"
    sheet.write_text("answers")
    code, _, error = cli("annotate", DILEMMAS, "--out", sheet)
    assert code == 2
    assert "may hold answers" in error
    assert sheet.read_text() == "answers"


def test_a_blind_second_annotator_agrees_as_its_readme_says(tmp_path: Path, cli: Cli):
    """The bundled bank's second annotation, written on a sheet: kappa 0.89 over all values."""
    sheet = tmp_path / "marks.csv"
    assert cli("annotate", DILEMMAS, "--task", "marks", "--out", sheet, "--seed", 4)[0] == 0
    data = files("valueagents.envs").joinpath("data", "dilemmas-1.second.jsonl").read_text("utf-8")
    second = {row["id"]: row["options"] for row in map(json.loads, data.splitlines()[1:])}
    marks = {o.text: second[i.id][o.id] for i in DilemmaEnv().bank.items for o in i.options}
    header, *rows = csv.reader(sheet.read_text("utf-8-sig").splitlines(keepends=True))
    filled = [[*r[:4], *(marks[r[3]].get(axis, "") for axis in header[4:])] for r in rows]
    with sheet.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *filled])
    code, said, error = cli("annotate", DILEMMAS, "--marks", sheet, "--json")
    assert code == 0, error
    found = json.loads(said)
    assert found["items"] == 192
    assert found["values"][-1]["kappa"]["value"] == pytest.approx(0.89, abs=0.005)


def test_one_of_writing_and_reading_is_asked_for(tmp_path: Path, cli: Cli):
    code, _, error = cli("annotate", DILEMMAS)
    assert code == 2
    assert "give --out FILE" in error


def test_a_game_has_no_sheet(tmp_path: Path, cli: Cli):
    code, _, error = cli("annotate", "valueagents/ChoiceScript-v0", "--out", tmp_path / "a.csv")
    assert code == 2
    assert "--policy human" in error


@pytest.mark.slow
def test_people_are_played_by_their_shares_and_compared(tmp_path: Path, cli: Cli):
    sheet = tmp_path / "a.csv"
    cli("annotate", DILEMMAS, "--out", sheet)
    _fill(sheet, ["3", "1", "", "x"])
    common = ("run", "--env", DILEMMAS, "--episodes", 60, "--seed", 1)
    assert cli(*common, "--policy", f"human-sample:{sheet}", "--out", tmp_path / "people")[0] == 0
    assert cli(*common, "--policy", "random", "--out", tmp_path / "random")[0] == 0
    taken = {row.words: row for i in read_sheet(sheet, ("people",)) for row in i.rows}
    for episode in Run(tmp_path / "people").episodes():
        (decision,) = episode.decisions
        counts = [
            int(taken[o.text].answers["people"].replace("x", "1") or 0) for o in decision.menu
        ]
        assert decision.choice.probabilities == tuple(n / sum(counts) for n in counts)
    code, said, error = cli("compare", tmp_path / "people", tmp_path / "random")
    assert code == 0, error
    assert "Benevolence: caring" in said


def test_an_item_that_nobody_answered_is_named(tmp_path: Path, cli: Cli):
    sheet = tmp_path / "a.csv"
    cli("annotate", DILEMMAS, "--out", sheet, *AT_HOME, "--items", 2)
    _fill(sheet, ["x", "", "", ""])
    words = ("--env", DILEMMAS, *AT_HOME, "--policy", f"human-sample:{sheet}", "--episodes", 24)
    code, said, error = cli("run", *words, "--out", tmp_path / "run")
    assert code in (2, 3)  # 20 episodes in a row may have failed
    assert "no person answered the menu of" in said + error


def test_an_item_that_nobody_answered_can_be_refused(tmp_path: Path, cli: Cli):
    sheet = tmp_path / "a.csv"
    cli("annotate", DILEMMAS, "--out", sheet, *AT_HOME, "--items", 2)
    _fill(sheet, ["x", "", "", ""])
    policy = f"human-sample:{sheet}?unasked=refuse"
    words = ("--env", DILEMMAS, *AT_HOME, "--policy", policy, "--episodes", 24)
    assert cli("run", *words, "--out", tmp_path / "run")[0] == 0
    episodes = list(Run(tmp_path / "run").episodes())
    assert len([e for e in episodes if e.decisions[0].choice.reading == "drawn"]) == 2
    assert len([e for e in episodes if e.decisions[0].choice.reading == "refused"]) == 22


def test_the_identity_is_what_people_chose_and_not_where_it_lies(tmp_path: Path, cli: Cli):
    sheet, moved = tmp_path / "a.csv", tmp_path / "b.csv"
    cli("annotate", DILEMMAS, "--out", sheet, "--items", 2)
    _fill(sheet, ["x", "", "", ""])
    moved.write_bytes(sheet.read_bytes())
    make = va.make_policy
    assert make(f"human-sample:{sheet}").identity() == make(f"human-sample:{moved}").identity()
    both = make(f"human-sample:{sheet},{moved}").identity()
    assert both != make(f"human-sample:{sheet}").identity()
    _fill(moved, ["", "x", "", ""])
    assert make(f"human-sample:{moved}").identity() != make(f"human-sample:{sheet}").identity()


@pytest.mark.parametrize("name", ["missing.csv", "sheet.txt"])
def test_a_file_that_is_no_sheet_is_refused(tmp_path: Path, name: str):
    (tmp_path / "sheet.txt").write_text("")
    with pytest.raises(va.ConfigError, match=name):
        va.make_policy(f"human-sample:{tmp_path / name}")
