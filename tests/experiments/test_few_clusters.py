"""The simulation of comparisons on few items a value, small."""

from pathlib import Path

import pytest

from valueagents.experiments.validity.few_clusters import main


@pytest.mark.slow  # plays the survey and the judgements once
def test_a_moved_value_is_found_and_resting_ones_are_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["--replicates", "20", "--out", str(tmp_path)])
    lines = capsys.readouterr().out.splitlines()
    shares = [
        (line.rsplit(maxsplit=3)[0].strip(), float(line.split()[-3]))
        for line in lines
        if "±" in line
    ]
    survey, judgements = shares[:4], shares[4:]
    for env in (survey, judgements):
        assert [name.split(",")[0] for name, _ in env] == ["power", *["false calls"] * 2, "power"]
        power, *false_calls, before = (share for _, share in env)
        assert power >= 0.8
        assert max(false_calls) <= 0.2  # 0.04 in 400 replicates
        assert before < power
    assert survey[-1][1] == 0  # two of 64 flips pass no family of twenty
