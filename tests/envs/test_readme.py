"""What the guide and the reference of envs show works as it is printed: factors, items, menus
annotated by trying.
"""

import json
import re
from pathlib import Path

import pytest

import valueagents as va
from valueagents.contracts.conformance import check_value_env
from valueagents.contracts.decision import Factor
from valueagents.envs.importing.bank import import_table
from valueagents.envs.importing.column_map import read_map
from valueagents.envs.importing.tables import UserTable
from valueagents.envs.items.files import read_items
from valueagents.envs.survey.env import SurveyEnv
from valueagents.taxonomy import load_taxonomy

ENVS = Path(__file__).parents[2] / "envs"
GUIDE, REFERENCE = (
    ENVS.joinpath(f"{page}.md").read_text(encoding="utf-8") for page in ("guide", "reference")
)


def shown(name: str) -> type[va.ValueEnv]:
    """The class of that name, from the one example that has it."""
    [example] = [
        each
        for each in re.findall(r"```python\n(.*?)```", GUIDE, flags=re.DOTALL)
        if f"class {name}(" in each
    ]
    names: dict[str, type[va.ValueEnv]] = {"va": va}
    exec(example, names)
    return names[name]


def test_the_example_of_an_env_with_factors_keeps_every_promise() -> None:
    class Finished(shown("Inn")):
        taxonomy, task, version = load_taxonomy("schwartz20"), "You keep an inn.", "1"

        def __init__(self) -> None:
            super().__init__(max_menu=2)

        def advance(self, option: va.Option) -> va.Turn:
            return va.Turn("Night falls.", terminated=True)

    assert [check for check in check_value_env(Finished) if check.problem] == []
    _, info = Finished().reset(seed=1)
    assert info["factors"] == {"guest": "tinker", "season": "winter"}


def test_the_example_of_menus_annotated_by_trying_keeps_every_promise_and_has_the_values_that_are_told() -> (
    None
):
    well = shown("Well")
    assert [check for check in check_value_env(well) if check.problem] == []
    means = []
    env = well()
    _, info = env.reset(seed=1)
    while info["menu"]:
        give, refuse = info["annotation"].values
        assert refuse == {"BEC": -1.0}
        means.append(give["BEC"])
        *_, terminated, _, info = env.step(1)
        if terminated:
            break
    assert len(set(means)) > 5
    assert sum(means) / len(means) == pytest.approx(0.85, abs=0.1)


def test_a_run_of_the_example_of_menus_annotated_by_trying_is_scored(tmp_path) -> None:
    played = va.run(shown("Well")(), "first", tmp_path / "run", episodes=3, seed=1)
    decisions = [decision for episode in played.episodes() for decision in episode.decisions]
    assert all(decision.annotation.values[1] == {"BEC": -1.0} for decision in decisions)
    assert {event.source for decision in decisions for event in decision.events} == {"give"}
    [benevolence] = [axis for axis in va.score(played).axes if axis.axis == "BEC"]
    assert benevolence["E1"].value == pytest.approx(
        sum(d.annotation.values[0]["BEC"] for d in decisions)
    )


def test_the_example_of_an_item_file_can_be_played_and_take_the_factors_that_are_shown(
    tmp_path,
) -> None:
    header, item = (
        json.loads(line)
        for line in re.findall(r"^ +(\{\"(?:format|id)\".*\})$", REFERENCE, re.MULTILINE)[:2]
    )
    declared, level = (
        json.loads("{" + part + "}")
        for part in re.findall(r"^ +(\"factors\": .*?) {4,}in ", REFERENCE, re.M)
    )
    path = tmp_path / "items.jsonl"
    path.write_text(f"{json.dumps(header | declared)}\n{json.dumps(item | level)}\n")
    bank = read_items(path)
    assert bank.factors == (Factor("place", "Where it happens.", ("home", "street")),)
    assert bank.items[0].factors == {"place": "street"}


def test_the_taxonomy_of_the_reference_is_one(tmp_path: Path) -> None:
    block = REFERENCE.partition("## Your own axes")[2].partition("```toml\n")[2].partition("```")[0]
    (tmp_path / "needs.toml").write_text(block, encoding="utf-8")
    own = load_taxonomy("needs.toml", tmp_path)
    assert own.angles == {"AUT": 0.0, "REL": 150.0}
    assert own.off_circle == ("PLAY",)


def test_the_form_of_the_reference_is_one(tmp_path: Path) -> None:
    part = REFERENCE.partition("### Questionnaires as published")[2]
    form = part.partition("```toml\n")[2].partition("```")[0]
    (tmp_path / "form.toml").write_text(form, encoding="utf-8")
    axes = "".join(f'[[axes]]\nid = "{a}"\nname = "{a}"\nwants = "x"\n' for a in ("AUT", "REL"))
    own = f'id = "needs"\nversion = 1\nsource = "x"\n{axes}'
    (tmp_path / "needs.toml").write_text(own, encoding="utf-8")
    env = SurveyEnv(key=str(tmp_path / "form.toml"))
    assert len(env.situations()) == 4
    assert env.task == "You take part in a survey."


def test_the_map_of_the_reference_is_one(tmp_path: Path) -> None:
    part = REFERENCE.partition("## Your own tables")[2]
    (tmp_path / "map.toml").write_text(
        part.partition("```toml\n")[2].partition("```")[0], encoding="utf-8"
    )
    (tmp_path / "moral.csv").write_text(
        "qid,prompt,answer_1,cheat_1,answer_2,cheat_2\n1,A test.,Look.,Yes,Do not.,No\n",
        encoding="utf-8",
    )
    found = import_table(
        UserTable(tmp_path / "moral.csv"), "dilemmas", read_map(tmp_path / "map.toml")
    )
    [record] = found.records
    assert [option["values"]["cheat"] for option in record["options"]] == [-1.0, 0.0]
    assert record["setting"] == "school"
