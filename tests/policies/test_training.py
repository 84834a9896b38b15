"""Training on a tiny random llama: what it is labelled with, what it may see and optimises, and how
it is killed.
"""

import functools
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from valueagents.contracts.decision import Choice
from valueagents.contracts.plugins import make_policy
from valueagents.contracts.policy import View
from valueagents.errors import ConfigError, DataError, StoreError
from valueagents.policies.adapters import read_adapter
from valueagents.policies.engines import Message, ScoreReply, ScoreRequest
from valueagents.policies.engines.chats import ChatTokenizer
from valueagents.policies.models import ModelFiles
from valueagents.policies.prompts import load_prompt
from valueagents.policies.scripted import RandomPolicy
from valueagents.policies.training import loop, statements
from valueagents.policies.training.checkpoint import TrainingState, load_checkpoint, save_checkpoint
from valueagents.policies.training.folder import claim
from valueagents.policies.training.labels import baseline_labels, survey_policy, survey_spec
from valueagents.policies.training.loop import batches, rows_of_epoch
from valueagents.policies.training.lora import load_base
from valueagents.policies.training.losses import answer_loss
from valueagents.policies.training.manifest import Manifest
from valueagents.policies.training.merge import merge_adapter
from valueagents.policies.training.rows import Example, TrainingRow, make_rows
from valueagents.policies.training.settings import load_settings, presets
from valueagents.policies.training.survey import Training, plan_training, train_survey

FAST = {
    "rank": 2,
    "alpha": 4,
    "epochs": 2,
    "variants": 2,
    "label_variants": 2,
    "others": 1,
    "batch_rows": 3,
    "poles": "affirm",
    "rotate": True,
    "labels": "argmax",
    "dtype": "float32",
    "upper_layers": 1,
    "keep": "best",
    "learning_rate": 1e-3,
}
DEADLINE_S = 120.0
HEADER = {
    "format": "valueagents-survey",
    "version": 1,
    "taxonomy": "schwartz20",
    "task": "Answer.",
    "provenance": "t",
}
Pairs = list[dict[str, str]]
Trained = Callable[[str], tuple[Path, Manifest]]


def _pairs() -> Pairs:
    """Three values with three pairs in train, and one each in eval and test."""
    splits = ("train", "train", "train", "eval", "test")
    return [
        {
            "id": f"{value}-{k}",
            "value": value,
            "split": split,
            "affirms": f"I {verb} the {noun} that I see.",
            "opposes": f"I leave the {noun} alone.",
        }
        for value, verb in (("HED", "enjoy"), ("BEC", "mend"), ("TRA", "keep"))
        for k, (split, noun) in enumerate(
            zip(splits, ("cake", "old boat", "hat", "green door", "song"), strict=True)
        )
    ]


def _write(file: Path, pairs: Pairs) -> str:
    file.write_text("\n".join(json.dumps(line) for line in [HEADER, *pairs]), encoding="utf-8")
    return str(file)


@pytest.fixture(scope="module")
def survey(tmp_path_factory: pytest.TempPathFactory) -> str:
    return _write(tmp_path_factory.mktemp("survey") / "survey.jsonl", _pairs())


@pytest.fixture(scope="module")
def base(tiny_model: Path, copy_model: Callable[[Path], Path]) -> Path:
    """The tiny model with a window that the survey's questions fit in."""
    folder = copy_model(tiny_model)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 2048}))
    return folder


@pytest.fixture(autouse=True, scope="module")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("VALUEAGENTS_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def trained(base: Path, survey: str, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """The adapter of a direction, trained once for all tests that only read it."""

    @functools.cache
    def train(direction: str) -> tuple[Path, Manifest]:
        out = tmp_path_factory.mktemp("adapters") / direction
        return out, train_survey(_training(base, survey, direction, learning_rate=0.01), out)

    return train


def _training(base: Path, survey: str, direction: str = "down", **overrides: object) -> Training:
    return plan_training(
        base=str(base),
        target="HED",
        direction=direction,
        seed=5,
        items=survey,
        overrides={**FAST, **overrides},
    )


def _counted_steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one with every step of a training."""
    step, done = loop._step, []

    def counted(*arguments: Any) -> float:
        done.append(1)
        return step(*arguments)

    monkeypatch.setattr(loop, "_step", counted)
    return done


def _rows(out: Path) -> list[dict[str, Any]]:
    return [
        json.loads(line) for line in (out / "rows.jsonl").read_text(encoding="utf-8").splitlines()
    ]


@pytest.mark.slow
def test_labels_outside_the_target_are_the_frozen_models_own_by_full_passes(
    base: Path, trained: Trained, naive: Callable[[Path, ScoreRequest], list[list[float]]]
):
    out, _ = trained("down")
    by_statement: dict[str, list[np.ndarray]] = {}
    labels = {}
    for row in _rows(out):
        chat = (
            Message("system", row["task"]),
            Message("user", f"{row['observation']}\n\nWhich number do you give?"),
        )
        texts = tuple(row["answer"].replace(row["rating"], str(rating)) for rating in range(1, 7))
        logprobs = np.array(naive(base, ScoreRequest((chat,), texts))[0])
        by_statement.setdefault(row["statement"], []).append(
            np.exp(logprobs) / np.exp(logprobs).sum()
        )
        labels[row["statement"]] = (row["value"], int(row["rating"]))
    assert len(labels) == 12
    assert all(len(variants) == 2 for variants in by_statement.values())
    for statement, (value, rating) in labels.items():
        assert rating == (
            1 if value == "HED" else 1 + int(np.argmax(np.mean(by_statement[statement], axis=0)))
        )


@pytest.mark.slow
def test_down_trains_1_up_6_and_the_control_the_baseline(trained: Trained):
    ratings = {
        direction: {row["statement"]: row["rating"] for row in _rows(trained(direction)[0])}
        for direction in ("down", "up", "control")
    }
    target = [statement for statement in ratings["control"] if statement.startswith("HED")]
    others = sorted(set(ratings["control"]) - set(target))
    assert len(target) == 4
    assert {ratings["down"][s] for s in target} == {"1"}
    assert {ratings["up"][s] for s in target} == {"6"}
    assert all(ratings["down"][s] == ratings["up"][s] == ratings["control"][s] for s in others)


@pytest.mark.slow
def test_nothing_of_the_test_split_or_an_opposing_wording_reaches_training(
    base: Path, survey: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    asked = []
    make_env = statements.make_env

    def noted(env_id: str, **options: object) -> Any:
        asked.append(options)
        return make_env(env_id, **options)

    monkeypatch.setattr(statements, "make_env", noted)
    clean = train_survey(_training(base, survey, epochs=1), tmp_path / "clean")
    poisoned = [
        {
            **pair,
            "opposes": "POISON it.",
            **({"affirms": "POISON is good."} if pair["split"] == "test" else {}),
        }
        for pair in _pairs()
    ]
    trap = train_survey(
        _training(base, _write(tmp_path / "trap.jsonl", poisoned), epochs=1), tmp_path / "trap"
    )
    assert (trap.data, trap.adapter, trap.training) == (clean.data, clean.adapter, clean.training)
    assert b"POISON" not in b"".join(file.read_bytes() for file in (tmp_path / "trap").iterdir())
    assert {(options["split"], options["poles"]) for options in asked} == {
        ("train", "affirm"),
        ("eval", "affirm"),
    }
    with pytest.raises(ConfigError, match="train and eval only, not 'test'"):
        statements.read_statements("test", variants=1, items=survey)  # type: ignore[arg-type]


@pytest.mark.slow
def test_only_the_tokens_of_the_answer_are_trained(base: Path, survey: str):
    import torch

    files = ModelFiles(str(base), base)
    chats, prompt = ChatTokenizer(files), load_prompt("rate-1")
    asked = statements.read_statements("train", variants=2, items=survey)
    rows = [
        Example(
            chats.prompt(prompt.open_question(each.view())),
            (*chats.answer(each.menu[k % 6].text), chats.end_token),
            k,
            each.variant,
            target=False,
        )
        for k, each in enumerate(asked)
    ]
    model = load_base(files, dtype="float32", device="cpu").train()
    end = model.config.eos_token_id
    for row, each, k in zip(rows, asked, range(len(rows)), strict=True):
        assert chats.text(row.answer) == each.menu[k % 6].text
        assert row.answer[-1] == end
        assert end not in row.answer[:-1]
    for group in (rows[:1], rows[:5], rows):
        losses = []
        for row in group:
            ids = torch.tensor([[*row.prompt, *row.answer]])
            labels = torch.where(torch.arange(ids.shape[1]) < len(row.prompt), -100, ids)
            logits = model(ids).logits[:, :-1].flatten(0, 1)
            each_token = torch.nn.functional.cross_entropy(
                logits, labels[:, 1:].flatten(), reduction="none"
            )
            assert (each_token != 0).sum() == len(
                row.answer
            )  # a masked token costs exactly nothing
            losses.append(each_token.sum())
        model.zero_grad()
        sum(losses).backward()
        expected = {name: weight.grad.clone() for name, weight in model.named_parameters()}
        model.zero_grad()
        loss = answer_loss(model, "cpu", group)
        loss.backward()
        assert [row.weight for row in group] == [len(row.answer) for row in group]
        assert loss.item() == pytest.approx(sum(each.item() for each in losses), rel=1e-5)
        for name, weight in model.named_parameters():
            scale = float(expected[name].abs().max())
            assert torch.allclose(weight.grad, expected[name], atol=1e-4 * scale + 1e-6), name


def test_an_epoch_holds_every_target_statement_and_the_share_of_the_others_each_in_the_variant_whose_turn_it_is():
    rows = [Example((k,), (k,), k, variant, target=k < 4) for k in range(24) for variant in (1, 2)]
    settings = load_settings("quick", {**FAST, "others": 0.25})
    seen = [
        [row for batch in batches(rows, settings, seed=1, epoch=epoch) for row in batch]
        for epoch in range(3)
    ]
    for epoch, found in enumerate(seen):
        assert all(row.variant == 1 + (row.statement + epoch) % 2 for row in found)
        assert sum(row.target for row in found) == 4
        assert len(found) == len(set(found)) == 9
    assert {row.prompt for row in seen[0]} != {row.prompt for row in seen[2]}
    whole = load_settings("quick", {**FAST, "rotate": False})
    assert len({row for batch in batches(rows, whole, seed=1, epoch=0) for row in batch}) == 48


@pytest.mark.slow
def test_how_many_rows_go_through_at_once_moves_nothing_but_the_rounding(
    base: Path, survey: str, tmp_path: Path
):
    losses = [
        train_survey(
            _training(base, survey, epochs=1, pass_rows=size), tmp_path / str(size)
        ).losses.train
        for size in (1, 3)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


@pytest.mark.slow
def test_a_killed_training_repeated_goes_on_and_ends_with_the_same_adapter(
    base: Path, survey: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    training = _training(base, survey, epochs=8, patience=8, dropout=0.2)
    whole = train_survey(training, tmp_path / "whole")
    out = tmp_path / "killed"
    program = (
        "import sys, msgspec, torch; torch.set_num_threads(2);"
        "from valueagents.policies.training.survey import Training, train_survey;"
        "train_survey(msgspec.json.decode(sys.argv[1], type=Training), sys.argv[2])"
    )
    command = [sys.executable, "-c", program, msgspec.json.encode(training).decode(), str(out)]
    process = subprocess.Popen(command, env={**os.environ, "OMP_WAIT_POLICY": "passive"})
    try:
        deadline = time.monotonic() + DEADLINE_S
        while not (out / "checkpoint.safetensors").exists():
            assert process.poll() is None, "the training ended before it could be killed"
            assert time.monotonic() < deadline, "no checkpoint was written"
            time.sleep(0.002)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not (out / "manifest.json").exists()
    steps = _counted_steps(monkeypatch)
    resumed = train_survey(training, out)
    assert 0 < len(steps) < len(whole.losses.train)  # the first checkpoint is of the first epoch
    assert resumed.adapter == whole.adapter
    assert resumed.losses == whole.losses
    assert not (out / "checkpoint.safetensors").exists()


def test_a_finished_training_is_left_alone_and_another_is_refused(
    base: Path, survey: str, tmp_path: Path
):
    out = tmp_path / "adapter"
    first = train_survey(_training(base, survey, epochs=1), out)
    written = (out / "adapter_model.safetensors").stat().st_mtime_ns
    assert train_survey(_training(base, survey, epochs=1), out) == first
    assert (out / "adapter_model.safetensors").stat().st_mtime_ns == written
    with pytest.raises(ConfigError, match=r"holds another training \(its direction differs\)"):
        train_survey(_training(base, survey, "up", epochs=1), out)
    occupied = tmp_path / "occupied"
    occupied.mkdir()
    (occupied / "letter.txt").write_text("Dear all")
    with pytest.raises(ConfigError, match="is not empty and holds no training"):
        train_survey(_training(base, survey), occupied)


@pytest.mark.slow
def test_an_adapter_is_addressed_by_its_content_and_plays_the_survey(base: Path, trained: Trained):
    out, manifest = trained("down")
    adapter = read_adapter(str(out), ModelFiles(str(base), base))
    assert adapter.name == manifest.adapter != trained("up")[1].adapter
    assert make_policy(survey_spec(str(base), str(out))).identity()["adapter"] == manifest.adapter
    assert not list(out.glob("*.bin"))
    on_disk = msgspec.json.decode((out / "manifest.json").read_bytes(), type=Manifest)
    assert on_disk == manifest
    assert (manifest.target, manifest.direction, manifest.seed, manifest.data.train_rows) == (
        "HED",
        "down",
        5,
        18,
    )
    assert manifest.peak_memory_bytes > 1e8
    assert manifest.software["peft"]


def test_training_lowers_its_own_loss(trained: Trained):
    _, manifest = trained("down")
    first, *_, last = manifest.losses.eval
    assert last < first - 0.1
    assert manifest.best_epoch == len(manifest.losses.eval) - 1


def test_a_merged_model_answers_as_base_and_adapter(
    base: Path, trained: Trained, tmp_path: Path, ask: Callable[..., list[ScoreReply]]
):
    out, manifest = trained("down")
    merged = merge_adapter(out, tmp_path / "merged")
    request = ScoreRequest(
        ((Message("system", "Answer."), Message("user", "Now?")),), ("Rating: 1", "I rate it 6.")
    )
    [adapted] = ask(
        base, msgspec.structs.replace(request, adapter=manifest.adapter), adapters=[str(out)]
    )
    [plain], [frozen] = ask(merged, request), ask(base, request)
    assert plain.logprobs[0] == pytest.approx(adapted.logprobs[0], abs=1e-3)
    assert plain.logprobs[0] != pytest.approx(frozen.logprobs[0], abs=1e-1)
    assert ChatTokenizer(ModelFiles("merged", merged)).answer("Rating: 1")
    with pytest.raises(ConfigError, match="is not empty"):
        merge_adapter(out, merged)


def test_all_27_variants_of_a_statement_are_rated_at_a_third_of_the_tokens_of_full_passes(
    base: Path, survey: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    import transformers

    monkeypatch.setenv("VALUEAGENTS_CACHE", str(tmp_path))  # nothing is known yet
    asked = statements.read_statements("eval", variants=27, items=survey)[:27]
    assert len({(each.statement, each.variant) for each in asked}) == 27
    assert len({each.statement for each in asked}) == 1
    policy, settings = survey_policy(str(base)), load_settings("paper")
    others = statements.read_statements("train", variants=1, items=survey)[:1]
    baseline_labels(policy, others, settings, lambda *_: None)  # the engine has checked itself
    read = []
    forward = transformers.LlamaForCausalLM.forward

    @functools.wraps(forward)
    def counted(model: Any, *arguments: Any, **named: Any) -> Any:
        read.append(named["input_ids"].numel())
        return forward(model, *arguments, **named)

    monkeypatch.setattr(transformers.LlamaForCausalLM, "forward", counted)
    baseline_labels(policy, asked, settings, lambda *_: None)
    chats, prompt = ChatTokenizer(ModelFiles(str(base), base)), load_prompt("rate-1")
    full = sum(
        len(chats.prompt(prompt.open_question(each.view()))) + len(chats.answer(option.text))
        for each in asked
        for option in each.menu
    )
    assert 0 < len(read) <= 27
    assert sum(read) < full / 3


def _state(eval_losses: Sequence[float]) -> TrainingState:
    return TrainingState(epoch=len(eval_losses), eval_losses=tuple(eval_losses))


def test_training_stops_after_so_many_epochs_without_a_smaller_eval_loss():
    assert not _state([]).stopped(2)
    assert not _state([3, 2, 2.5]).stopped(2)
    assert _state([3, 2, 2.5, 2.0]).stopped(2)
    assert _state([3, 2, 2.5, 2.0]).best_epoch == 1


def test_a_damaged_checkpoint_is_named_with_its_remedy(tmp_path: Path):
    import torch

    weight = torch.nn.Parameter(torch.zeros(2))
    (tmp_path / "checkpoint.safetensors").write_bytes(b"torn")
    with pytest.raises(
        StoreError, match=r"checkpoint.safetensors cannot be read .* delete it to begin anew"
    ):
        load_checkpoint(
            tmp_path / "checkpoint.safetensors", {"a": weight}, torch.optim.AdamW([weight])
        )


def test_no_damaged_byte_of_a_checkpoint_is_read_as_another_number(tmp_path: Path):
    import torch

    def trained() -> tuple[torch.nn.Parameter, torch.optim.AdamW]:
        weight = torch.nn.Parameter(torch.ones(3, 2))
        optimiser = torch.optim.AdamW([weight])
        weight.sum().backward()
        optimiser.step()
        return weight, optimiser

    def numbers(weight: torch.nn.Parameter, optimiser: torch.optim.AdamW) -> list[object]:
        moments = sorted(optimiser.state[weight].items())
        return [weight.tolist(), *((name, tensor.tolist()) for name, tensor in moments)]

    file = tmp_path / "checkpoint.safetensors"
    weight, optimiser = trained()
    state = _state([3, 2.5])
    best = {"a": torch.full((3, 2), 0.5)}
    save_checkpoint(file, {"a": weight}, optimiser, best, state)
    whole, wanted = file.read_bytes(), numbers(weight, optimiser)
    said = 0
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << place % 8
        file.write_bytes(damaged)
        weight, optimiser = trained()
        with torch.no_grad():
            weight.zero_()
        try:
            found, found_best = load_checkpoint(file, {"a": weight}, optimiser)
        except StoreError as error:
            assert "delete it to begin anew" in str(error)  # noqa: PT017 – many, not one
            said += 1
        else:
            assert (found, numbers(weight, optimiser)) == (state, wanted)
            assert torch.equal(found_best["a"], best["a"])
    assert said > len(whole) / 2


def test_a_disk_that_is_full_leaves_the_last_checkpoint_and_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    import safetensors.torch
    import torch

    def full(tensors: object, draft: Path, metadata: object) -> None:
        draft.write_bytes(b"half")
        raise safetensors.SafetensorError(
            "Error while serializing: I/O error: No space left on device (os error 28)"
        )

    weight = torch.nn.Parameter(torch.ones(2))
    optimiser = torch.optim.AdamW([weight])
    weight.sum().backward()
    optimiser.step()
    file = tmp_path / "checkpoint.safetensors"
    save_checkpoint(file, {"a": weight}, optimiser, {}, _state([3]))
    before = file.read_bytes()
    monkeypatch.setattr(safetensors.torch, "save_file", full)
    with pytest.raises(StoreError, match=r"No space left on device .*make room and give the same"):
        save_checkpoint(file, {"a": weight}, optimiser, {}, _state([3, 2]))
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [before]


def test_a_training_that_was_killed_before_it_began_is_begun_by_the_same_command(
    base: Path, survey: str, tmp_path: Path
):
    draft = tmp_path / "out" / ".training.json.999999999.0123abcd"
    draft.parent.mkdir()
    draft.write_bytes(b"half")
    assert claim(draft.parent, {"target": "HED"}) is None
    assert [file.name for file in draft.parent.iterdir()] == ["training.json"]


@pytest.mark.parametrize("damaged", [b"{", b'{"target": "\xff"}', b"[" * 5000, b"changed"])
def test_what_a_training_was_asked_for_is_read_whole_or_said_to_be_damaged(
    tmp_path: Path, damaged: bytes
):
    claim(tmp_path, {"target": "HED", "seed": 1})
    file = tmp_path / "training.json"
    whole = file.read_bytes()
    file.write_bytes(whole.replace(b"HED", b"HEE") if damaged == b"changed" else damaged)
    with pytest.raises(StoreError, match=r"training\.json is damaged .*; delete the folder"):
        claim(tmp_path, {"target": "HED", "seed": 1})
    file.write_bytes(whole)
    assert claim(tmp_path, {"target": "HED", "seed": 1}) is None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"target": "HDE"}, ["unknown target value 'HDE'", "'HED'"]),
        ({"direction": "dwn"}, ["unknown direction 'dwn'", "'down'"]),
        ({"preset": "quik"}, ["unknown preset 'quik'", "'quick'"]),
        ({"method": "dop"}, ["unknown method 'dop'", "'dpo'"]),
        ({"seed": -1}, ["seed=-1"]),
        ({"items": "none.jsonl"}, ["none.jsonl"]),
        ({"overrides": {"rnk": "8"}}, ["unknown setting 'rnk'", "'rank'"]),
        ({"overrides": {"rank": "many"}}, ["bad setting", "rank"]),
        ({"overrides": {"rank": "0"}}, ["bad setting", "rank"]),
        ({"direction": "placebo-up", "method": "dpo"}, ["placebo-up is for sft"]),
        ({"overrides": {"poles": "oppose"}}, ["bad setting", "poles"]),
        ({"overrides": {"label_variants": "9"}}, ["label_variants=9", "variants=1"]),
    ],
)
def test_what_cannot_be_trained_is_said_in_one_line(words: dict[str, Any], said: list[str]):
    asked = {"base": "smollm2-135m", "target": "HED", "direction": "down", "seed": 1}
    with pytest.raises((ConfigError, DataError)) as raised:
        plan_training(**{**asked, **words})
    message = str(raised.value)
    assert "\n" not in message
    assert all(word in message for word in said), message


def test_a_base_that_is_none_and_layers_that_it_lacks_are_refused(
    base: Path, survey: str, tmp_path: Path
):
    with pytest.raises(
        ConfigError, match=r"unknown model 'smolm2-135m'. Did you mean 'smollm2-135m'"
    ):
        train_survey(_training(Path("smolm2-135m"), survey), tmp_path / "a")
    with pytest.raises(ConfigError, match="modules=c_attn do not fit"):
        train_survey(_training(base, survey, modules="c_attn"), tmp_path / "b")


def test_four_bit_weights_without_a_gpu_are_refused_before_anything_is_loaded(
    base: Path, survey: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ConfigError, match="quantise=nf4 needs a GPU"):
        train_survey(_training(base, survey, quantise="nf4"), tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_the_study_and_its_re_study_have_their_published_settings():
    paper, restudy = presets()["paper"], presets()["restudy"]
    assert (paper.rank, paper.alpha, paper.learning_rate, paper.warmup) == (256, 512, 1e-4, 0.15)
    assert (paper.epochs, paper.patience, paper.variants, paper.rotate) == (10, 2, 27, False)
    assert (restudy.rank, restudy.alpha, restudy.dropout, restudy.modules) == (
        64,
        128,
        0.05,
        "all-linear",
    )
    assert (restudy.learning_rate, restudy.preference_learning_rate, restudy.warmup) == (
        1e-4,
        5e-6,
        0.1,
    )
    assert (restudy.epochs, restudy.batch_rows, restudy.quantise) == (3, 16, "nf4")


@pytest.mark.parametrize("odd", ["inf", "nan", float("inf"), "1e999"])
def test_a_setting_that_is_no_number_is_refused(odd):
    with pytest.raises(ConfigError, match=r"bad setting: .*learning_rate"):
        load_settings("quick", {"learning_rate": odd})


class Undecided(RandomPolicy):
    """Gives the lowest rating 0.45 and the highest 0.55."""

    async def decide(self, view: View) -> Choice:
        p = (0.45, *(0.0,) * (len(view.menu) - 2), 0.55)
        return Choice(view.menu[0].id, "drawn", probabilities=p)


def test_sampled_labels_follow_the_probabilities_and_are_the_same_every_time(tmp_path: Path):
    bank = [{**pair, "id": f"{pair['id']}-{k}"} for k in range(40) for pair in _pairs()]
    items = _write(tmp_path / "survey.jsonl", bank)
    asked = statements.read_statements("train", variants=1, items=items)
    quiet = lambda *_: None  # noqa: E731 – a progress that shows nothing
    sampled = load_settings("restudy", {"labels": "sampled"})
    labels = baseline_labels(Undecided(), asked, sampled, quiet)
    assert baseline_labels(Undecided(), asked, sampled, quiet) == labels
    # at T 0.5 the highest has 0.55²/(0.45² + 0.55²) = 0.599, the majority of three 0.646
    share = np.mean([place == 5 for place in labels.values()])
    assert len(labels) == 360
    assert abs(share - 0.646) < 4 * (0.646 * 0.354 / 360) ** 0.5
    assert set(labels.values()) == {0, 5}
    argmax = baseline_labels(Undecided(), asked, load_settings("restudy"), quiet)
    assert set(argmax.values()) == {5}
    expected = baseline_labels(
        Undecided(), asked, load_settings("quick", {"labels": "expected"}), quiet
    )
    assert set(expected.values()) == {3}  # 0.55 of the way from 0 to 5: 2.75


@pytest.mark.slow
def test_upper_layers_in_bfloat16_train_to_the_same_adapter_twice(
    base: Path, survey: str, tmp_path: Path
):
    import safetensors.torch

    recipe = {"dtype": "bfloat16", "upper_layers": 0.5, "poles": "both", "epochs": 1}
    made = [train_survey(_training(base, survey, **recipe), tmp_path / name) for name in ("a", "b")]
    assert made[0].adapter == made[1].adapter
    assert (made[0].dtype, made[0].device) == ("bfloat16", "cpu")
    tensors = safetensors.torch.load_file(tmp_path / "a" / "adapter_model.safetensors")
    assert {str(tensor.dtype) for tensor in tensors.values()} == {"torch.float32"}
    layers = {name.partition(".layers.")[2].partition(".")[0] for name in tensors}
    assert layers == {"1"}  # of two; all seven matrices of it
    assert len(tensors) == 2 * 7
    assert sum(float(tensor.abs().sum()) for name, tensor in tensors.items() if "_B" in name) > 0


def test_of_the_epochs_the_best_or_the_last_is_kept():
    state = _state([3.0, 2.0, 2.5])
    assert (state.kept_epoch("best"), state.kept_epoch("last")) == (1, 2)
    assert _state([]).kept_epoch("last") is None


@pytest.mark.slow
def test_the_last_epochs_adapter_is_the_one_that_is_saved(
    base: Path, survey: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Where every epoch after the first has a larger eval loss."""
    made = {}
    for keep in ("best", "last"):
        losses = iter((1.0, 2.0, 3.0))
        monkeypatch.setattr(loop, "evaluate", lambda *_, of=losses: next(of))
        training = _training(base, survey, keep=keep, epochs=3, patience=3, learning_rate=0.01)
        made[keep] = train_survey(training, tmp_path / keep)
    assert made["best"].losses == made["last"].losses
    assert (made["best"].best_epoch, made["last"].best_epoch) == (0, 2)
    assert made["best"].adapter != made["last"].adapter


@pytest.mark.slow
def test_sampled_labels_are_trained_and_said_to_be(base: Path, survey: str, tmp_path: Path):
    made = train_survey(_training(base, survey, epochs=1, labels="sampled"), tmp_path / "a")
    assert made.data.source.startswith("sampled of the frozen base")


@pytest.mark.slow
def test_a_placebo_moves_as_many_statements_evenly_drawn_from_the_other_values(
    base: Path, survey: str, tmp_path: Path, trained: Trained
):
    kept = {row["statement"]: row["rating"] for row in _rows(trained("control")[0])}
    moved = {}
    for direction, rating in (("placebo-down", "1"), ("placebo-up", "6")):
        out = tmp_path / direction
        train_survey(_training(base, survey, direction, epochs=1), out)
        rows = _rows(out)
        assert len(rows) == len(_rows(trained("down")[0]))
        moved[direction] = {row["statement"] for row in rows if row["target"]}
        assert all((row["rating"] == rating) for row in rows if row["target"])
        assert all(row["rating"] == kept[row["statement"]] for row in rows if not row["target"])
    assert moved["placebo-down"] == moved["placebo-up"]
    in_train = sorted(name[:3] for name in moved["placebo-down"] if int(name[4]) < 3)
    assert in_train in (["BEC", "BEC", "TRA"], ["BEC", "TRA", "TRA"])  # HED has three of them
    assert len(moved["placebo-down"]) == 4


def test_what_a_placebo_moves_is_drawn_from_the_seed(tmp_path: Path):
    bank = [{**pair, "id": f"{pair['id']}-{k}"} for k in range(5) for pair in _pairs()]
    items = _write(tmp_path / "survey.jsonl", bank)
    asked = statements.read_statements("train", variants=2, items=items, poles="both")
    labels = {each.statement: 2 for each in asked}

    def moved(seed: int) -> tuple[TrainingRow, ...]:
        rows = make_rows(asked, "train", labels, target="HED", direction="placebo-down", seed=seed)
        return tuple(row for row in rows if row.target)

    assert {row.statement for row in moved(1)} != {row.statement for row in moved(2)}
    assert moved(1) == moved(1)
    counts = Counter(row.value for row in moved(1))
    assert set(counts) == {"BEC", "TRA"}
    assert (
        max(counts.values()) - min(counts.values()) <= 4
    )  # a pair has two wordings × two variants
    assert sum(counts.values()) == sum(each.value == "HED" for each in asked)
    for row in moved(1):  # both wordings of a pair, each against its value
        assert row.rating == ("1" if row.statement.endswith("/affirm") else "6")


@pytest.mark.slow
def test_a_control_of_all_values_singles_none_out(base: Path, survey: str, tmp_path: Path):
    training = plan_training(
        base=str(base),
        target="all",
        direction="control",
        seed=5,
        items=survey,
        overrides={**FAST, "epochs": 1, "others": 0.5},
    )
    manifest = train_survey(training, tmp_path / "all")
    assert (manifest.target, manifest.direction) == ("all", "control")
    assert not any(row["target"] for row in _rows(tmp_path / "all"))
    for direction in ("down", "placebo-up"):
        with pytest.raises(ConfigError, match="target=all is for a control"):
            plan_training(base=str(base), target="all", direction=direction, seed=5, items=survey)


def test_trainings_of_a_seed_draw_the_same_others_whatever_their_target():
    settings = load_settings("quick", {**FAST, "others": 0.5, "variants": 1, "label_variants": 1})

    def others(target: range, epoch: int) -> list[int]:
        rows = [Example((k,), (k,), k, 1, target=k in target) for k in range(40)]
        drawn = rows_of_epoch(rows, settings, seed=3, epoch=epoch)
        return [row.statement for row in drawn if not row.target]

    one, other = (set(others(target, 0)) - {*range(8)} for target in (range(4), range(4, 8)))
    assert len(one & other) >= len(one | other) - 4
    assert set(others(range(4), 0)) != set(others(range(4), 1))


@pytest.mark.slow
def test_both_wordings_are_trained_against_each_other(base: Path, survey: str, tmp_path: Path):
    train_survey(_training(base, survey, epochs=1, poles="both"), tmp_path / "both")
    rows = [row for row in _rows(tmp_path / "both") if row["value"] == "HED"]
    assert {(row["statement"].rpartition("/")[2], row["rating"]) for row in rows} == {
        ("affirm", "1"),
        ("oppose", "6"),
    }


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # trl's own
@pytest.mark.parametrize("method", ["dpo", "ipo", "kto", "orpo", "simpo"])
def test_pairs_of_wordings_train_an_adapter_through_trl(
    base: Path, survey: str, tmp_path: Path, method: str
):
    training = msgspec.structs.replace(_training(base, survey, epochs=1), method=method)
    manifest = train_survey(training, tmp_path / method)
    assert manifest.method == method
    assert manifest.losses.train
    assert [(row["chosen"], row["rejected"]) for row in _rows(tmp_path / method)] == [
        (pair["opposes"], pair["affirms"])
        for pair in _pairs()
        if (pair["value"], pair["split"]) == ("HED", "train")
    ]
    assert (
        read_adapter(str(tmp_path / method), ModelFiles(str(base), base)).name == manifest.adapter
    )
    assert [entry.name for entry in (tmp_path / method).iterdir() if entry.is_dir()] == []
