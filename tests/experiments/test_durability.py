"""The durability harness runs, at a size that takes seconds, finds nothing wrong, and would find
what is.
"""

import random
from pathlib import Path

import pytest

from valueagents.experiments.validity import durability
from valueagents.experiments.validity.durability import DILEMMAS
from valueagents.experiments.validity.durability_count import Wrong, compare_with_truth
from valueagents.experiments.validity.durability_damage import damaged_files
from valueagents.running import records
from valueagents.running.execution import execute


@pytest.mark.slow
@pytest.mark.parametrize(
    ("part", "sizes"),
    [
        ("kills", ["--kills", "6"]),
        ("trainings", ["--commands", "2"]),
        ("workers", ["--workers", "4"]),
        ("damages", ["--damages", "12"]),
        ("replies", ["--damages", "12"]),
        ("disk", ["--fills", "2"]),
        ("writers", ["--writers", "6"]),
    ],
)
def test_nothing_is_lost_double_silent_or_left_over(
    part: str, sizes: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    if part == "workers":
        pytest.importorskip("jericho")
    durability.main(["--parts", part, *sizes])
    assert "lost 0, double 0, silent 0, orphans 0, left-over folders 0" in capsys.readouterr().out


@pytest.mark.slow
def test_the_price_of_it_is_printed_beside_its_bar(capsys: pytest.CaptureFixture[str]) -> None:
    durability.main(["--parts", "price", "--rounds", "1"])
    printed = capsys.readouterr().out
    assert printed.count("(bar: at most 0.03)") == 2
    assert "bytes of a segment: more by (share)" in printed


@pytest.mark.slow
def test_sessions_without_checksums_would_be_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "unseal", lambda line: line.rpartition(b',"crc":')[0] + b"}")
    wrong = Wrong()
    damaged_files(tmp_path, DILEMMAS, 30, wrong, random.Random(1))
    assert wrong.silent["damages"] > 0


def test_an_episode_that_is_missing_or_there_twice_is_counted(tmp_path: Path) -> None:
    truth = execute(DILEMMAS, tmp_path / "truth")
    other = execute(DILEMMAS, tmp_path / "other")
    (segment,) = other.store.segments()
    double = segment.with_name("episodes-0002.jsonl.gz")
    double.write_bytes(segment.read_bytes())
    wrong = Wrong()
    compare_with_truth("x", other.path, truth, wrong)
    assert (wrong.lost["x"], wrong.double["x"], wrong.silent["x"]) == (0, 600, 0)
    double.unlink()
    segment.unlink()
    compare_with_truth("y", other.path, truth, wrong)
    assert (wrong.lost["y"], wrong.double["y"], wrong.silent["y"]) == (600, 0, 1)
