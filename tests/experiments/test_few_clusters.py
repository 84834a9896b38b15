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
    for name, share in shares:
        if name == "power":
            assert share >= 0.8
        elif name.startswith("false calls"):
            assert share <= 0.2  # 0.04 in 400 replicates
        else:
            assert share == 0  # two of 64 flips pass no family of twenty
    assert len(shares) == 8
