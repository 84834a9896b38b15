"""Malformed inputs, a few of them with fixed seeds: all refused in one line, and what would not be
is found.
"""

import random
from pathlib import Path

import pytest

from valueagents.experiments.validity import malformed
from valueagents.experiments.validity.malformed_damages import FileDamage, damages_of
from valueagents.files import text

BEC_TWICE = b'"BEC": 1, "BEC": -1,'
NOTHING_WRONG = "wrong: traceback 0, hang 0, unnamed 0, silent 0"


@pytest.mark.slow
def test_nothing_malformed_is_accepted_or_crashes(capsys: pytest.CaptureFixture[str]) -> None:
    malformed.main(["--number", "24", "--seed", "3"])
    assert NOTHING_WRONG in capsys.readouterr().out


@pytest.mark.slow
def test_a_reader_that_takes_the_last_of_two_keys_would_be_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text, "_look_through", lambda _: None)
    twice = FileDamage("twice", "none", lambda content, _: content.replace(b'"BEC": 1,', BEC_TWICE))
    monkeypatch.setattr(malformed, "damages_of", lambda _: [twice])
    inputs, rng = malformed.Inputs(tmp_path), random.Random(1)
    items = inputs.prepared(next(each for each in inputs.formats if each.name == "items"))
    trial = malformed.damaged(items, rng)
    assert trial is not None
    assert trial.outcome == "silent"


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".csv", ".toml", ".txt", ".bin"])
def test_every_damage_changes_a_file_that_it_applies_to(suffix: str) -> None:
    correct = {
        ".jsonl": b'{"a": 1, "b": [2, "x"]}\n{"a": 2}\n{"c": {"d": 0.5}}\n',
        ".json": b'{"a": 1,\n"b": [2, "x"],\n"c": {"d": 0.5}}\n',
        ".csv": b"a,b\n1,x\n2,y\n",
        ".toml": b'a = 1\nb = "x"\n[c]\nd = [1, 2.5]\n',
        ".txt": b"Text.\n*choice\n  #One.\n    *finish\n",
        ".bin": bytes(range(100)),
    }[suffix]
    rng = random.Random(1)
    for damage in damages_of(suffix):
        made = [damage.make(correct, rng) for _ in range(20)]
        assert any(each is not None and each != correct for each in made), damage.name
