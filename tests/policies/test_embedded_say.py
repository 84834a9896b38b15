"""The embedded SmolLM2-135M speaks: real replies, read, kept and replayed without the model."""

from pathlib import Path

import pytest

from valueagents.policies.engines.transformers.engine import TransformersEngine
from valueagents.policies.models import EMBEDDED
from valueagents.running.execution import RunConfig, execute
from valueagents.running.runs import Run

pytestmark = pytest.mark.slow


def _run(options: str, out: Path, episodes: int = 6) -> Run:
    spec = f"transformers:{EMBEDDED}?reading=say&{options}"
    return execute(
        RunConfig(env="valueagents/Dilemma-v0", policy=spec, episodes=episodes, seed=3), out
    )


def _choices(played: Run) -> list[tuple[str, str | None, str | None, str]]:
    return [
        (e.identity, d.choice.option, d.choice.raw, d.choice.reading)
        for e in played.episodes()
        for d in e.decisions
    ]


def test_what_the_model_said_is_replayed_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    options = f"max_tokens=24&cache={tmp_path / 'replies'}"
    first = _run(options, tmp_path / "first")
    assert first.failed() == []
    assert len(first.episodes()) == 6
    assert all(
        d.choice.raw and d.choice.output_tokens <= 24 for e in first.episodes() for d in e.decisions
    )
    monkeypatch.setattr(TransformersEngine, "__aenter__", lambda _: pytest.fail("loaded"))
    second = _run(options, tmp_path / "second")
    assert _choices(second) == _choices(first)
    assert all(second.decisions()["replayed"].to_pylist())


def test_held_to_the_letters_every_reply_is_read(tmp_path: Path):
    played = _run("constrained=true&max_tokens=1", tmp_path / "run")
    assert {reading for *_, reading in _choices(played)} == {"parsed"}
    assert {raw for _, _, raw, _ in _choices(played)} <= set("ABCDEF")
    assert played.decisions().num_rows == 6
