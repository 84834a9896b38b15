"""What `study --dry-run` prints, and the noise that a finished study tells."""

from dataclasses import replace

import msgspec
import numpy as np
import pytest

from valueagents.errors import ConfigError, StoreError
from valueagents.experiments.studies.dry_run import dry_run, finished_noise
from valueagents.experiments.studies.noise import noise_from
from valueagents.experiments.studies.power import doubled
from valueagents.experiments.studies.simulated_study import Noise, StudyMenus, menus_of
from valueagents.measuring.reading import read_answers
from valueagents.running.sealed import write_sealed

TARGETS = ("HED", "TRA", "POD")


@pytest.mark.slow
def test_a_finished_study_tells_the_noise_that_it_was_made_with(random_run):
    whole = read_answers(random_run)
    _, first = np.unique(np.asarray(whole.shown.to_pylist()), return_index=True)
    asked = whole.select(np.sort(first))
    menus, rng = menus_of(asked, TARGETS), np.random.default_rng(1)
    options = len(asked.x)
    appeal, sides = rng.normal(0, 1, options), rng.normal(0, 0.5, (4, options))

    def answers(side, moved=0.0):
        own = rng.normal(0, 0.3, options)
        p = menus.probabilities(appeal + side + own + moved * menus.judged[:, 0])
        return replace(asked, p=p)

    adapters = [[answers(sides[t], 0.5 * (t == 0)) for _ in range(3)] for t in range(3)]
    controls = [answers(sides[3]) for _ in range(3)]
    found = noise_from(adapters, controls, TARGETS, source="a test")
    assert found.training == pytest.approx(0.3, abs=0.03)
    assert found.side_effects == pytest.approx(0.5, abs=0.06)
    assert found.source == "a test"
    assert noise_from([row[:1] for row in adapters], controls[:1], TARGETS, source="") is None


@pytest.mark.slow
def test_a_dry_run_prints_power_by_effect_seeds_and_items():
    printed = dry_run("four-sides", None, replicates=4)
    lines = printed.splitlines()
    assert lines[0] == "four-sides: 15 adapters of smollm2-135m, seeds [1, 2, 3]"
    assert "noise assumed: sd of an option between trainings 0.3 logit" in lines[1]
    assert [line[:15].strip() for line in lines[3:]] == [
        what for what in ("as designed", "6 seeds", "twice the items") for _ in range(3)
    ]
    assert {line.split()[-3] for line in lines[3:]} == {"0.02", "0.05", "0.10"}


@pytest.mark.slow
def test_a_dry_run_of_one_target_says_that_it_has_no_contrast(tmp_path):
    file = tmp_path / "one.toml"
    file.write_text('like = "four-sides"\ntargets = ["HED"]\n')
    assert "no contrast" in dry_run(str(file), None)


def test_the_noise_is_read_from_a_finished_study_and_named(tmp_path):
    record = {"noise": Noise(training=0.2, side_effects=0.1), "answer": "…"}
    (tmp_path / "study.json").write_bytes(msgspec.json.encode(record))
    found = finished_noise(tmp_path)
    assert (found.training, found.side_effects) == (0.2, 0.1)
    assert str(tmp_path) in found.source
    write_sealed(tmp_path / "study.json", record)
    whole = (tmp_path / "study.json").read_bytes()
    (tmp_path / "study.json").write_bytes(whole.replace(b"0.2", b"0.9"))
    with pytest.raises(StoreError, match=r"study\.json is damaged \(its checksum is wrong\)"):
        finished_noise(tmp_path)
    (tmp_path / "study.json").write_bytes(b'{"noise": null}')
    with pytest.raises(ConfigError, match="two seeds"):
        finished_noise(tmp_path)
    with pytest.raises(ConfigError, match="cannot be read"):
        finished_noise(tmp_path / "nothing")


def test_twice_the_items_are_as_many_clusters_again():
    menus = StudyMenus(np.array([[1.0], [-1.0], [0.0], [1.0]]), np.array([0, 2]), np.array([0, 1]))
    twice = doubled(menus)
    assert twice.size.tolist() == [2, 2, 2, 2]
    assert twice.cluster.tolist() == [0, 1, 2, 3]
    assert twice.contested.sum() == 4
