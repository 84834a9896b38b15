"""The positive control on a tiny random llama: which menus it is shown, what it takes there, what is
held out.
"""

import functools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from typer.testing import CliRunner

from valueagents.contracts.plugins import make_env
from valueagents.errors import ConfigError
from valueagents.policies.adapters import read_adapter
from valueagents.policies.engines import Message, ScoreRequest
from valueagents.policies.engines.chats import ChatTokenizer
from valueagents.policies.models import ModelFiles
from valueagents.policies.prompts import load_prompt
from valueagents.policies.training import loop
from valueagents.policies.training.choices import MenuSource, plan_choices, train_choices
from valueagents.policies.training.commands import app
from valueagents.policies.training.lora import load_base
from valueagents.policies.training.losses import menu_loss
from valueagents.policies.training.manifest import Manifest
from valueagents.policies.training.menu_rows import menu_examples, wanted_places
from valueagents.policies.training.menus import PARTS, AskedMenu, Parted
from valueagents.running.execution import RunConfig, execute
from valueagents.running.pool import freeze_pool, read_pool

FAST = {"rank": 2, "alpha": 4, "epochs": 2, "learning_rate": 0.02, "others": 0.5, "batch_rows": 2}
HEADER = {
    "format": "valueagents-items",
    "version": 1,
    "taxonomy": "schwartz20",
    "task": "Decide what you do.",
    "provenance": "t",
    "scaling": "sign",
}
Trained = Callable[[str], tuple[Path, Manifest]]


def _items() -> list[dict[str, Any]]:
    """Twelve menus that contest hedonism, eight that do not."""
    items = []
    for k in range(20):
        values = ({"HED": 1}, {"HED": -1, "SEP": 1}, {"TRA": 1})
        if k >= 12:
            values = ({"TRA": 1}, {"SEP": 1}, {"TRA": -1})
        texts = (f"Eat cake {k}.", f"Lock the {k} doors now.", f"Sing the old song {k}.")
        options = [
            {"id": name, "text": text, "values": x}
            for name, text, x in zip("abc", texts, values, strict=True)
        ]
        items.append({"id": f"i{k}", "setting": "s", "text": f"Case {k}.", "options": options})
    return items


def _write(file: Path, items: list[dict[str, Any]]) -> str:
    file.write_text("\n".join(json.dumps(line) for line in [HEADER, *items]), encoding="utf-8")
    return str(file)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    return _write(tmp_path_factory.mktemp("items") / "items.jsonl", _items())


@pytest.fixture(autouse=True, scope="module")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("VALUEAGENTS_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def _menus(data: str, **changes: Any) -> MenuSource:
    options: dict[str, Any] = {
        "env": "valueagents/Dilemma-v0",
        "env_options": {"data": data},
        "shares": (0.4, 0.2),
        **changes,
    }
    return MenuSource(**options)


def _train(
    base: Path,
    menus: MenuSource,
    out: Path,
    direction: str = "up",
    seed: int = 5,
    **overrides: object,
) -> Manifest:
    training = plan_choices(
        base=str(base),
        target="HED",
        direction=direction,
        seed=seed,
        menus=menus,
        overrides={**FAST, **overrides},
    )
    return train_choices(training, out)


@pytest.fixture(scope="module")
def trained(tiny_model: Path, data: str, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """The adapter of a direction, trained once for all tests that only read it."""

    @functools.cache
    def train(direction: str) -> tuple[Path, Manifest]:
        out = tmp_path_factory.mktemp("adapters") / direction
        return out, _train(tiny_model, _menus(data), out, direction)

    return train


def _rows(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "rows.jsonl").read_text("utf-8").splitlines()]


def test_up_wants_what_serves_most_down_what_violates_most_and_a_control_neither(data: str):
    asked = [each for part in PARTS for each in _menus(data).parted().asked(part)]
    contested = [each for each in asked if each.contests("HED")]
    assert (len(asked), len(contested)) == (20, 12)

    def texts(each: AskedMenu, direction: Any) -> list[str]:
        return [each.menu[k].text.split()[0] for k in wanted_places(each, "HED", direction)]

    assert all(texts(each, "up") == ["Eat"] for each in contested)
    assert all(texts(each, "down") == ["Lock"] for each in contested)
    assert all(texts(each, "control") == [] for each in asked)
    assert all(texts(each, "up") == [] for each in asked if not each.contests("HED"))


def test_options_that_serve_alike_are_wanted_alike(data: str):
    [each, *_] = _menus(data).parted().asked("train")
    values = ({"HED": 1.0}, {"HED": 1.0}, {"HED": -1.0})
    tied = msgspec.structs.replace(
        each, annotation=msgspec.structs.replace(each.annotation, values=values)
    )
    assert wanted_places(tied, "HED", "up") == (0, 1)
    assert wanted_places(tied, "HED", "down") == (2,)
    unjudged = msgspec.structs.replace(
        each,
        annotation=msgspec.structs.replace(
            each.annotation, values=({"HED": 1.0}, {"HED": None}, {})
        ),
    )
    assert wanted_places(unjudged, "HED", "up") == ()


@pytest.mark.slow
def test_other_menus_keep_what_the_frozen_model_takes_by_full_passes(
    tiny_model: Path, trained: Trained, naive: Callable[[Path, ScoreRequest], list[list[float]]]
):
    rows = _rows(trained("up")[0])
    kept = [row for row in rows if not row["contested"]]
    assert kept
    files = ModelFiles(str(tiny_model), tiny_model)
    chats = ChatTokenizer(files)
    for row in kept:
        chat = (
            Message("system", row["task"]),
            Message("user", f"{row['observation']}\n\nWhat do you do?"),
        )
        texts = tuple(row["options"].values())
        logprobs = np.array(naive(tiny_model, ScoreRequest((chat,), texts))[0])
        means = logprobs / [len(chats.answer(text)) for text in texts]
        assert row["wanted"] == [list(row["options"])[int(np.argmax(means))]]
    wanted = {row["options"][name] for row in rows if row["contested"] for name in row["wanted"]}
    assert all(text.startswith("Eat") for text in wanted)


@pytest.mark.slow
def test_the_loss_of_menus_and_its_gradient_are_those_of_full_passes(tiny_model: Path, data: str):
    import torch

    files = ModelFiles(str(tiny_model), tiny_model)
    asked = _menus(data).parted().asked("train")
    rows = menu_examples(
        _made_rows(asked), asked, ChatTokenizer(files), prompt=load_prompt("choose-1"), history=None
    )
    model, beta = load_base(files, dtype="float32", device="cpu").train(), 3.0
    for group in (rows[:1], rows[:4]):
        model.zero_grad()
        total = sum(_plain_loss(model, row, beta) for row in group)
        total.backward()
        expected = {name: weight.grad.clone() for name, weight in model.named_parameters()}
        model.zero_grad()
        loss = menu_loss(beta)(model, "cpu", group)
        loss.backward()
        assert loss.item() == pytest.approx(total.item(), rel=1e-5)
        for name, weight in model.named_parameters():
            scale = float(expected[name].abs().max())
            assert torch.allclose(weight.grad, expected[name], atol=1e-4 * scale + 1e-6), name


def _made_rows(asked: Any) -> Any:
    from valueagents.policies.training.menu_rows import make_menu_rows

    kept = {each.shown: 0 for each in asked}
    return make_menu_rows(asked, "train", kept, target="HED", direction="up")


def _plain_loss(model: Any, row: Any, beta: float) -> Any:
    """-log of the wanted options' share, each option read after the whole question."""
    import torch

    means = []
    for option in row.options:
        logits = model(torch.tensor([[*row.prompt, *option]])).logits[0, :-1].log_softmax(dim=-1)
        places = range(len(row.prompt) - 1, len(row.prompt) + len(option) - 1)
        means.append(sum(logits[p, t] for p, t in zip(places, option, strict=True)) / len(option))
    odds = torch.exp(beta * torch.stack(means))
    return -torch.log(odds[list(row.wanted)].sum() / odds.sum())


def _parts(parted: Parted) -> dict[str, set[str]]:
    return {part: {each.shown for each in parted.asked(part)} for part in PARTS}


def test_a_split_parts_whole_clusters_by_its_seed_alone(data: str, tmp_path: Path):
    parts = _parts(_menus(data).parted())
    assert [len(parts[part]) for part in PARTS] == [8, 4, 8]
    assert len(set.union(*parts.values())) == 20
    assert _parts(_menus(data).parted()) == parts
    assert _parts(_menus(data, seed=1).parted()) != parts
    bank = [{**item, "cluster": f"pair {k // 2}"} for k, item in enumerate(_items())]
    pools = _menus(_write(tmp_path / "pairs.jsonl", bank)).parted().pools
    where = [(each.cluster, part) for part in PARTS for each in pools[part].decisions]
    assert len(where) == 20
    assert len(set(where)) == len({cluster for cluster, _ in where}) == 10


def test_a_split_is_named_by_its_content(data: str, tmp_path: Path):
    name = _menus(data).parted().split.name
    moved = tmp_path / "elsewhere.jsonl"
    assert _menus(_write(moved, _items())).parted().split.name == name
    changed = _items()
    changed[0]["options"][0]["text"] = "Eat two cakes."
    assert _menus(_write(moved, changed)).parted().split.name != name
    assert _menus(data, seed=1).parted().split.name != name


@pytest.mark.slow
def test_what_is_held_out_reaches_no_row_and_moves_no_weight(
    tiny_model: Path, data: str, tmp_path: Path, trained: Trained
):
    out, clean = trained("up")
    held_out = {each.observation for each in _menus(data).parted().asked("test")}
    poisoned = [
        {**item, "options": [{**o, "text": f"POISON {o['text']}"} for o in item["options"]]}
        if item["text"] in held_out
        else item
        for item in _items()
    ]
    trap_menus = _menus(_write(tmp_path / "trap.jsonl", poisoned))
    trap = _train(tiny_model, trap_menus, tmp_path / "trap")
    assert (trap.data, trap.adapter) == (clean.data, clean.adapter)
    assert trap.split != clean.split
    assert "POISON" in (tmp_path / "trap" / "menus" / "test.jsonl").read_text("utf-8")
    assert "POISON" not in (tmp_path / "trap" / "rows.jsonl").read_text("utf-8")
    assert not held_out & {row["observation"] for row in _rows(out)}


@pytest.mark.slow
def test_training_makes_the_wanted_options_of_its_own_menus_more_probable(
    tiny_model: Path, trained: Trained, tmp_path: Path
):
    out, manifest = trained("down")  # what it takes untrained serves
    assert manifest.losses.eval[-1] < manifest.losses.train[0] - 0.1
    spec = f"transformers:{tiny_model}?reading=likelihood"
    shares = []
    for name, policy in (("base", spec), ("down", f"{spec}&adapter={out}")):
        config = RunConfig(
            env="valueagents/Replay-v0",
            env_options={"pool": str(out / "menus" / "test.jsonl")},
            policy=policy,
        )
        run = execute(config, tmp_path / name)
        locked = [
            p
            for episode in run.episodes()
            for option, p in zip(
                episode.decisions[0].menu, episode.decisions[0].choice.probabilities, strict=True
            )
            if option.text.startswith("Lock")
            and any("HED" in values for values in episode.decisions[0].annotation.values)
        ]
        shares.append(float(np.mean(locked)))
    assert shares[1] > shares[0] + 0.1


@pytest.mark.slow
def test_a_training_stopped_anywhere_and_repeated_ends_with_the_same_adapter(
    tiny_model: Path, data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    whole = _train(tiny_model, _menus(data), tmp_path / "whole", epochs=3, dropout=0.2)
    steps = len(whole.losses.train)
    assert steps == 3 * 4  # a checkpoint is written at the tenth
    step, done = loop._step, []

    def killed(*arguments: Any) -> float:
        done.append(1)
        if len(done) == steps - 1:  # after a checkpoint, in the middle of an epoch
            raise KeyboardInterrupt
        return step(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(loop, "_step", killed)
        with pytest.raises(KeyboardInterrupt):
            _train(tiny_model, _menus(data), tmp_path / "killed", epochs=3, dropout=0.2)
    assert (tmp_path / "killed" / "checkpoint.safetensors").exists()
    resumed = _train(tiny_model, _menus(data), tmp_path / "killed", epochs=3, dropout=0.2)
    assert (resumed.adapter, resumed.losses) == (whole.adapter, whole.losses)


@pytest.mark.slow
def test_the_manifest_names_split_and_base_and_another_training_is_refused(
    tiny_model: Path, data: str, trained: Trained
):
    out, manifest = trained("up")
    split = manifest.split
    assert split is not None
    assert (split.train, split.eval, split.test, split.clusters) == (8, 4, 8, 20)
    assert split.name == _menus(data).parted().split.name
    assert manifest.method == "choices"
    assert manifest.adapter == read_adapter(str(out), ModelFiles("tiny", tiny_model)).name
    assert msgspec.json.decode((out / "manifest.json").read_bytes(), type=Manifest) == manifest
    written = (out / "adapter_model.safetensors").stat().st_mtime_ns
    assert _train(tiny_model, _menus(data), out) == manifest
    assert (out / "adapter_model.safetensors").stat().st_mtime_ns == written
    with pytest.raises(ConfigError, match=r"holds another training \(its menus differs\)"):
        _train(tiny_model, _menus(data, seed=1), out)


def test_states_of_a_game_come_from_its_runs_or_from_a_pool(tmp_path: Path):
    env = "valueagents/ChoiceScript-v0"
    for seed in (1, 2):
        config = RunConfig(env=env, policy="random", episodes=3, seed=seed)
        execute(config, tmp_path / f"run{seed}")
    runs = tuple(str(tmp_path / f"run{seed}") for seed in (1, 2))
    parted = MenuSource(sources=runs, decisions=40).parted()
    asked = [each for part in PARTS for each in parted.asked(part)]
    assert len(asked) == 40
    deep = max(asked, key=lambda each: len(each.before))
    assert len(deep.view().transcript) == len(deep.before) > 1
    assert len(deep.view(history=1).transcript) == 1
    file = freeze_pool(tmp_path / "pool", runs, decisions=40, seed=0)
    assert _parts(MenuSource(sources=(str(file),)).parted()) == _parts(parted)
    assert _parts(MenuSource(sources=(str(tmp_path / "pool"),)).parted()) == _parts(parted)
    with pytest.raises(ConfigError, match="is a pool; give it alone"):
        MenuSource(sources=(str(file), runs[0])).parted()
    with pytest.raises(ConfigError, match=r"lists no annotated menus .* play it first"):
        MenuSource(env=env).parted()


def test_parts_are_pools_that_every_policy_can_meet(data: str, tmp_path: Path):
    parted = _menus(data).parted()
    parted.write(tmp_path)
    for part in PARTS:
        file = tmp_path / "menus" / f"{part}.jsonl"
        assert read_pool(file) == parted.pools[part]
        env = make_env("valueagents/Replay-v0", pool=str(file))
        assert set(env.situations()) == {each.shown for each in parted.asked(part)}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"target": "HDE"}, "Did you mean 'HED'"),
        ({"target": "UNN"}, "UNN is at stake in menus: 0 of train, 0 of eval, 0 of test"),
        ({"direction": "upp"}, "Did you mean 'up'"),
        ({"direction": "placebo-up"}, "unknown direction 'placebo-up'"),
        ({"seed": -1}, "seed=-1"),
        ({"overrides": {"variants": 3}}, "a menu has one prompt"),
        ({"preset": "choice"}, "Did you mean 'choices'"),
    ],
)
def test_what_cannot_be_trained_is_said_in_one_line(data: str, words: dict[str, Any], said: str):
    asked: dict[str, Any] = {"base": "b", "target": "HED", "direction": "up", "seed": 1}
    with pytest.raises(ConfigError) as raised:
        plan_choices(**{**asked, "menus": _menus(data), **words})
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_menus_come_from_one_place_in_three_parts(data: str):
    with pytest.raises(ConfigError, match="give one of the two"):
        MenuSource().parted()
    with pytest.raises(ConfigError, match="give one of the two"):
        _menus(data, sources=("run",)).parted()
    with pytest.raises(ConfigError, match="leave nothing for test"):
        _menus(data, shares=(0.8, 0.2)).parted()
    with pytest.raises(ConfigError, match="none for eval; give more menus"):
        _menus(data, shares=(0.4, 0.001)).parted()


@pytest.mark.slow
def test_the_command_trains_and_says_how_to_measure_it(tiny_model: Path, data: str, tmp_path: Path):
    words = ["choices", "--base", str(tiny_model), "--target", "HED", "--direction", "down"]
    words += ["--env", "valueagents/Dilemma-v0", "--env-option", f"data={data}"]
    words += ["--shares", "0.4,0.2", "--set", "epochs=1", "--out", str(tmp_path / "adapter")]
    answer = CliRunner().invoke(app, words, catch_exceptions=False)
    assert answer.exit_code == 0
    assert "8 menus to train, 4 to choose the epoch, 8 held out" in answer.output
    assert f"pool={tmp_path / 'adapter' / 'menus' / 'test.jsonl'}" in answer.output.replace(
        "\n", ""
    )
    with pytest.raises(ConfigError, match="write two numbers"):
        CliRunner().invoke(app, [*words, "--shares", "half"], catch_exceptions=False)
