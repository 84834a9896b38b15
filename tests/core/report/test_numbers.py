"""How numbers are printed, at their edges."""

import math

import pytest

from valueagents.measuring.inference import Estimate
from valueagents.report.numbers import (
    in_brackets,
    interval,
    merged,
    number,
    p_value,
    percent,
    sentence,
    signed,
    size,
)


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (None, 2, "–"),
        (0.0, 2, "0.00"),
        (-0.0, 2, "0.00"),
        (0.0, 0, "0"),
        (0.004, 2, "0.00"),  # no sign on what rounds to 0
        (-0.004, 2, "0.00"),
        (-1e-300, 2, "0.00"),
        (0.006, 2, "+0.01"),
        (-0.006, 2, "−0.01"),
        (1.0, 2, "+1.00"),
        (-1.0, 0, "−1"),
        (-12.345, 1, "−12.3"),
        (1234.5, 1, "+1234.5"),
        (0.09999, 3, "+0.100"),
    ],
)
def test_a_signed_number_has_a_true_minus_and_no_sign_where_it_rounds_to_0(value, digits, text):
    assert signed(value, digits) == text
    assert "-" not in text


@pytest.mark.parametrize(
    ("estimate", "shown", "bare", "said"),
    [
        (Estimate(), "–", "", "–"),
        (Estimate(reason="no decision"), "–", "", "– (no decision)"),
        (Estimate(0.5), "+0.50", "", "+0.50"),
        (Estimate(0.5, reason="one cluster"), "+0.50*", "", "+0.50 (one cluster)"),
        (
            Estimate(0.5, 0.25, 0.75),
            "+0.50 [+0.25, +0.75]",
            "[+0.25, +0.75]",
            "+0.50 [+0.25, +0.75]",
        ),
        (
            Estimate(-0.5, -1.0, 0.0, "few"),
            "−0.50 [−1.00, 0.00]*",
            "[−1.00, 0.00]",
            "−0.50 [−1.00, 0.00] (few)",
        ),
        (Estimate(0.0, -0.0, 0.0), "0.00 [0.00, 0.00]", "[0.00, 0.00]", "0.00 [0.00, 0.00]"),
        (Estimate(0.5, 0.25, None), "+0.50", "", "+0.50"),
    ],
    ids=[
        "nothing",
        "a reason",
        "bare",
        "a caution",
        "interval",
        "interval and caution",
        "zeros",
        "half an interval",
    ],
)
def test_an_estimate_is_printed_with_its_interval_and_its_caution(estimate, shown, bare, said):
    assert number(estimate) == shown
    assert interval(estimate) == bare
    assert sentence(estimate) == said


def test_digits_are_those_asked_for_everywhere_in_an_estimate():
    estimate = Estimate(0.12345, -0.00049, 0.5)
    assert number(estimate, 3) == "+0.123 [0.000, +0.500]"
    assert sentence(estimate, 0) == "0 [0, 0]"


def test_what_is_not_a_number_never_looks_like_one():
    """Estimates hold None instead; a NaN that slipped through must show, whatever its sign."""
    assert "nan" in signed(math.nan).lower()
    assert "nan" in number(Estimate(math.nan)).lower()


@pytest.mark.parametrize(
    ("p", "text"),
    [
        (None, "–"),
        (1.0, "1.0000"),
        (0.05, "0.0500"),
        (0.0312, "0.0312"),
        (0.0001, "0.0001"),
        (0.00009999, "< 0.0001"),
        (0.0, "< 0.0001"),
    ],
)
def test_a_p_value_has_four_decimals_and_is_never_0(p, text):
    assert p_value(p) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (None, "–"),
        (0.0, "0 %"),
        (-0.0, "0 %"),
        (1.0, "100 %"),
        (0.5, "50 %"),
        (0.126, "13 %"),
        (0.0999, "10 %"),
        (0.012, "1.2 %"),
        (0.03, "3 %"),
        (0.00012, "0.012 %"),
        (0.0001, "0.01 %"),
        (0.00009, "< 0.01 %"),
        (5e-324, "< 0.01 %"),
        (-5e-7, "> −0.01 %"),
        (-0.25, "−25 %"),
        (-0.012, "−1.2 %"),
    ],
)
def test_a_share_is_in_percent_with_two_digits_at_least(share, text):
    assert percent(share) == text


def test_details_stand_in_brackets_and_none_leave_nothing():
    assert in_brackets([22.0, -5.0], 0) == " (+22 / −5)"
    assert in_brackets([0.0], 1) == " (0.0)"
    assert in_brackets([], 0) == ""


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (9_949, "9.9 kB"), (9_951, "10 kB"),
     (999_400, "999 kB"), (999_600, "1.0 MB"), (3 * 10**12, "3.0 TB"), (10**16, "10000 TB")],
)  # fmt: skip
def test_sizes_have_two_digits_or_are_whole(count, text):
    assert size(count) == text


def test_reasons_that_differ_only_in_their_numbers_are_one():
    reasons = [f"not enough: {n} decisions, 20 needed" for n in (5, 17, 5)]
    assert merged(reasons) == ["not enough: 5 to 17 decisions, 20 needed"]
    assert merged([*reasons[:1], "no menu"]) == [reasons[0], "no menu"]
    assert merged(["p 12.05 of 3", "p 12.05 of 4"]) == ["p 12.05 of 3 to 4"]
    assert merged([]) == []
