"""What envs/README.md shows of factors works as it is printed."""

import json
import re
from pathlib import Path

import valueagents as va
from valueagents.contracts.conformance import check_value_env
from valueagents.contracts.decision import Factor
from valueagents.envs.items.files import read_items
from valueagents.taxonomy import load_taxonomy

README = (Path(__file__).parents[2] / "envs" / "README.md").read_text(encoding="utf-8")


def test_the_example_of_an_env_with_factors_keeps_every_promise() -> None:
    [example] = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    names: dict[str, object] = {"va": va}
    exec(example, names)

    class Finished(names["Inn"]):
        taxonomy, task, version = load_taxonomy("schwartz20"), "You keep an inn.", "1"

        def __init__(self) -> None:
            super().__init__(max_menu=2)

        def advance(self, option: va.Option) -> va.Turn:
            return va.Turn("Night falls.", terminated=True)

    assert [check for check in check_value_env(Finished) if check.problem] == []
    _, info = Finished().reset(seed=1)
    assert info["factors"] == {"guest": "tinker", "season": "winter"}


def test_the_example_of_an_item_file_can_be_played_and_take_the_factors_that_are_shown(tmp_path) -> None:
    header, item = (json.loads(line) for line in re.findall(r"^ +(\{\"(?:format|id)\".*\})$", README, re.MULTILINE)[:2])
    declared, level = (
        json.loads("{" + part + "}") for part in re.findall(r"^ +(\"factors\": .*?) {4,}in ", README, re.M)
    )
    path = tmp_path / "items.jsonl"
    path.write_text(f"{json.dumps(header | declared)}\n{json.dumps(item | level)}\n")
    bank = read_items(path)
    assert bank.factors == (Factor("place", "Where it happens.", ("home", "street")),)
    assert bank.items[0].factors == {"place": "street"}
