"""The calibration of `study bias`, small: what is set comes back, and equal policies are alike."""

import pytest

from valueagents.experiments.validity.bias_calibration import bundled, rates, recovered


@pytest.mark.slow
def test_a_set_bias_comes_back_and_its_intervals_hold_it(tmp_path):
    found = recovered(bundled(tmp_path / "run"), replicates=60)
    for truth, mean, coverage in found.values():
        assert abs(mean - truth) < 0.03
        assert coverage >= 0.85  # 93 to 97 % over 500 replicates


@pytest.mark.slow
def test_policies_of_one_bias_are_seldom_called_different():
    found = rates(each=1, less=False, training=0.0, replicates=40)
    for name in ("bias: any claim", "accuracy: any claim", "pairs: any claim"):
        assert found[name] <= 0.15  # at most 0.05 over 400 replicates
