"""Content hashes: equal content gives the equal hash everywhere, and every part counts."""

import hashlib
import json
import os
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from valueagents.identity import content_hash, file_hash, seed_from

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.text(st.characters(codec="utf-8"), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text("abcé\n", max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)


def test_a_content_hash_is_blake2b_of_the_canonical_json_of_its_parts():
    parts = ["walk", 7, {"b": [1, None], "a": "Zoë"}]
    canonical = json.dumps(
        parts, sort_keys=True, separators=(",", ":"), ensure_ascii=False
    ).encode()
    assert content_hash(*parts) == hashlib.blake2b(canonical, digest_size=16).hexdigest()


def test_the_order_of_keys_does_not_count_and_the_order_of_parts_does():
    assert content_hash({"a": 1, "b": {"c": 2, "d": 3}}) == content_hash(
        {"b": {"d": 3, "c": 2}, "a": 1}
    )
    assert content_hash("a", "b") != content_hash("b", "a")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("ab", "c"), ("a", "bc")),
        (("a",), ("a", None)),
        (("1",), (1,)),
        ((), ("",)),
        (("a\n",), ("a",)),
        (("é",), ("e\u0301",)),
        (([1, 2],), (1, 2)),
    ],
)
def test_parts_that_look_alike_when_joined_hash_apart(one, other):
    assert content_hash(*one) != content_hash(*other)


@given(JSON, JSON)
@settings(max_examples=40, deadline=None)
def test_hashes_are_equal_exactly_where_the_canonical_json_is(one, other):
    def canonical(value: object) -> str:
        return json.dumps(value, sort_keys=True)

    assert (content_hash(one) == content_hash(other)) == (canonical(one) == canonical(other))


def test_a_hash_does_not_depend_on_the_process_or_its_hash_seed():
    code = (
        "from valueagents.identity import content_hash as h; print(h({'b', 'a', 'c'}, {'y': 1, 'x':"
        " 2}, 'ü'))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "4321", "PYTHONUTF8": "1"}
    there = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout.strip()
    assert there == content_hash({"c", "b", "a"}, {"x": 2, "y": 1}, "ü")


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1])
def test_a_file_hash_is_its_sha256_whatever_its_size(tmp_path, size):
    content = bytes(i % 251 for i in range(1000)) * (size // 1000 + 1)
    file = tmp_path / "data"
    file.write_bytes(content[:size])
    assert file_hash(file) == hashlib.sha256(content[:size]).hexdigest()


def test_seeds_fit_63_bits_and_spread_over_them():
    seeds = [seed_from("env", i) for i in range(400)]
    assert len(set(seeds)) == 400
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert 0.4 < sum(seed >= 2**62 for seed in seeds) / 400 < 0.6


def test_a_seed_is_the_first_63_bits_of_the_hash_and_depends_on_every_part():
    assert seed_from("a", 1) == int(content_hash("a", 1), 16) >> 65
    assert len({seed_from("a", 1), seed_from("a", 2), seed_from("b", 1), seed_from("a", "1")}) == 4
