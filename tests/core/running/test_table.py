"""Compaction: a row a decision, exactly what the episodes hold, made again whenever the segments
have changed.
"""

import errno
import math

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from valueagents.contracts.decision import (
    SCHEMA,
    Annotation,
    Choice,
    Decision,
    Episode,
    Factor,
    Option,
    shown_hash,
)
from valueagents.errors import StoreError
from valueagents.running import table as table_module
from valueagents.running.store import RunHeader, RunStore
from valueagents.running.table import TABLE_SCHEMA, decisions_file, table_schema
from valueagents.taxonomy import load_taxonomy


def decisions_table(store):
    return pq.read_table(decisions_file(store))


GERT = load_taxonomy("gert10")
MENU = (Option("a", "Wait."), Option("b", "Zoë 🦊 runs.\n"), Option("c", "Ask."))


def annotated(*values: dict[str, float | None]) -> Annotation:
    return Annotation("gert10/1", values, "by hand", "sign")


CHOSEN = Decision(
    "Now?",
    MENU,
    Choice("b", "drawn", (0.2, 0.5, 0.3), (0.4, 0.3, 0.3), 0.9, "B", "stop", 100, 60, 2, 7, 0.25),
    annotated({"death": -1.0, "duty": 0.5}, {"pain": None}, {}),
    reward=1.5,
    factors={"pole": "oppose", "item": "H1"},
)
REFUSED = Decision(
    "And now?",
    MENU[:2],
    Choice(None, "refused", raw="I'd rather not"),
    invalid="no option was chosen",
)
FOREIGN = Decision("", (), Choice("z", "parsed"), annotated(), invalid="option is not on the menu")
EPISODES = [
    Episode("id-b", "item", 2, 7, "post", (CHOSEN, REFUSED), "truncated", attempt=3),
    Episode("id-a", None, 0, 8, "id-a", (FOREIGN,), "terminated"),
    Episode("id-0", None, 0, 9, "id-0", (), "terminated"),
]


FACTORS = (Factor("item", "Which item."), Factor("pole", "For or against.", ("affirm", "oppose")))


def make_store(path, *episodes: Episode, factors: tuple[Factor, ...] = ()) -> RunStore:
    header = RunHeader(
        "test/Env-v0", {}, "random", 0, "Choose.", {"env": "e"}, {"policy": "p"}, GERT, independent_menus=True,
        informed=False, factors=factors,
    )  # fmt: skip
    store = RunStore.create(path, header)
    add(store, *episodes)
    return store


def add(store: RunStore, *episodes: Episode) -> None:
    with store.writing() as writer:
        for episode in episodes:
            writer.episode(episode)


def written(table: pa.Table) -> str:
    """All rows, NaN equal to NaN."""
    return repr(table.to_pylist())


@pytest.fixture
def rows(out) -> list[dict]:
    return decisions_table(make_store(out, *EPISODES)).to_pylist()


def test_there_is_a_row_for_each_decision_in_the_order_of_writing(rows):
    assert [(r["episode"], r["step"]) for r in rows] == [("id-b", 0), ("id-b", 1), ("id-a", 0)]


def test_a_row_repeats_its_episode(rows):
    fields = ("situation", "repetition", "cluster", "attempt", "outcome")
    assert [rows[1][name] for name in fields] == ["item", 2, "post", 3, "truncated"]
    assert [rows[2][name] for name in fields] == [None, 0, "id-a", 1, "terminated"]


def test_a_row_holds_menu_choice_and_cost_of_its_decision(rows):
    row = rows[0]
    assert (row["option_ids"], row["option_characters"]) == (["a", "b", "c"], [5, 12, 4])
    assert (row["chosen"], row["probabilities"], row["reading"]) == (1, [0.2, 0.5, 0.3], "drawn")
    assert (row["position_probabilities"], row["mass"], row["reward"]) == (
        [0.4, 0.3, 0.3],
        0.9,
        1.5,
    )
    tokens = [row[f"{kind}_tokens"] for kind in ("prompt", "cached", "output")]
    assert (tokens, row["dropped_turns"], row["latency_s"], row["invalid"]) == (
        [100, 60, 2],
        7,
        0.25,
        None,
    )


def test_the_annotation_is_row_major_with_zero_for_neutral_and_nan_for_not_annotated(rows):
    x = rows[0]["x"]
    assert len(x) == 3 * 10
    assert [(i, value) for i, value in enumerate(x) if value != 0 and not math.isnan(value)] == [
        (0, -1.0),
        (9, 0.5),
    ]
    assert [i for i, value in enumerate(x) if math.isnan(value)] == [10 + 1]


def test_nothing_annotated_is_null_and_an_empty_menu_is_an_empty_list(rows):
    assert rows[1]["x"] is None
    assert (rows[2]["x"], rows[2]["option_ids"]) == ([], [])


def test_what_was_not_chosen_or_not_known_is_null(rows):
    assert [r["chosen"] for r in rows] == [1, None, None]
    assert [rows[1][name] for name in ("probabilities", "position_probabilities", "mass")] == [
        None
    ] * 3
    assert rows[1]["invalid"] == "no option was chosen"


def test_the_shown_hash_is_of_the_episode_until_then(rows):
    assert rows[0]["shown"] == shown_hash("Choose.", (CHOSEN,))
    assert rows[1]["shown"] == shown_hash("Choose.", (CHOSEN, REFUSED))


def test_a_run_without_episodes_is_an_empty_table_with_all_columns(out):
    empty = decisions_table(make_store(out))
    assert empty.num_rows == 0
    assert (
        empty.column_names
        == decisions_table(make_store(out.parent / "full", *EPISODES)).column_names
    )


def test_every_column_says_what_it_holds(out):
    schema = decisions_table(make_store(out, *EPISODES)).schema
    assert all(field.metadata[b"what"] for field in schema)
    assert schema.metadata[b"valueagents.taxonomy"] == b"gert10/1"
    assert str(SCHEMA).encode() in schema.metadata[b"valueagents.made_from"]


def test_each_declared_factor_is_a_column_after_the_fixed_ones_and_null_where_a_decision_has_no_level(
    out,
):
    table = decisions_table(make_store(out, *EPISODES, factors=FACTORS))
    assert table.column_names == [*TABLE_SCHEMA.names, "factor.item", "factor.pole"]
    assert table["factor.item"].to_pylist() == ["H1", None, None]
    assert table["factor.pole"].to_pylist() == ["oppose", None, None]
    assert table.schema.field("factor.pole").metadata[b"what"] == b"For or against."


def test_the_schema_of_a_runs_table_is_that_of_its_file(out):
    for name, factors in (("with", FACTORS), ("without", ())):
        store = make_store(out / name, *EPISODES, factors=factors)
        assert table_schema(store.header).equals(decisions_table(store).schema)
    assert table_schema(store.header).equals(TABLE_SCHEMA)


def test_one_factor_can_be_read_by_its_column_alone(out):
    file = decisions_file(make_store(out, *EPISODES, factors=FACTORS))
    assert pq.ParquetFile(file).read(columns=["factor.pole"]).column_names == ["factor.pole"]


def test_a_table_that_was_made_without_the_factors_is_made_again(out):
    bare = make_store(out, *EPISODES)
    assert "factor.item" not in decisions_table(bare).column_names
    declared = RunStore(out, msgspec.structs.replace(bare.header, factors=FACTORS))
    assert decisions_table(declared)["factor.item"].to_pylist() == ["H1", None, None]


def test_a_run_without_episodes_has_the_columns_of_its_factors(out):
    empty = decisions_table(make_store(out, factors=FACTORS))
    assert (empty.num_rows, empty.column_names[-2:]) == (0, ["factor.item", "factor.pole"])


def test_the_table_is_read_and_not_made_again_while_nothing_has_changed(out, monkeypatch):
    store = make_store(out, *EPISODES)
    first = decisions_table(store)
    monkeypatch.setattr(table_module, "write_decisions", lambda *args: pytest.fail("made again"))
    assert written(decisions_table(store)) == written(first)


def test_a_grown_run_is_compacted_again(out):
    store = make_store(out, EPISODES[0])
    assert decisions_table(store).num_rows == 2
    add(store, EPISODES[1])
    assert decisions_table(store).column("episode").to_pylist() == ["id-b", "id-b", "id-a"]


@pytest.mark.parametrize("content", [None, b"", b"PAR1", b"junk" * 100])
def test_a_lost_or_torn_parquet_file_is_made_again(out, content):
    store = make_store(out, *EPISODES)
    first, file = decisions_table(store), out / "decisions.parquet"
    if content is None:
        file.unlink()
    else:
        file.write_bytes(content)
    assert written(decisions_table(store)) == written(first)
    assert written(pq.read_table(file)) == written(first)


def test_a_cut_parquet_file_is_made_again(out):
    store = make_store(out, *EPISODES)
    first, file = decisions_table(store), out / "decisions.parquet"
    file.write_bytes(file.read_bytes()[:-10])
    assert written(decisions_table(store)) == written(first)


def test_no_damaged_byte_of_the_parquet_file_or_of_what_is_known_of_it_changes_a_number(out):
    first = written(decisions_table(make_store(out, *EPISODES)))
    for name in ("decisions.parquet", "decisions.json"):
        whole = (out / name).read_bytes()
        for place in range(0, len(whole), 61):
            (out / name).write_bytes(
                whole[:place] + bytes([whole[place] ^ 0x04]) + whole[place + 1 :]
            )
            assert written(decisions_table(RunStore.open(out))) == first, f"{name}, byte {place}"


def test_a_table_of_a_damaged_segment_is_made_again_when_the_segment_is_put_back(out):
    store = make_store(out, *EPISODES)
    first, (segment,) = written(decisions_table(store)), store.segments()
    whole = segment.read_bytes()
    segment.write_bytes(whole[:40] + b"????" + whole[44:])
    (out / "decisions.parquet").unlink()
    assert decisions_table(RunStore.open(out)).num_rows < 3
    segment.write_bytes(whole)
    assert written(decisions_table(RunStore.open(out))) == first


def test_a_full_disk_is_one_line_that_says_that_nothing_is_lost(out, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(
            errno.ENOSPC, "Error writing bytes to file. Detail: [errno 28] No space left on device"
        )

    store = make_store(out, *EPISODES)
    monkeypatch.setattr(pq.ParquetWriter, "write_table", full)
    words = (
        r"decisions\.parquet' cannot be written: No space left on device; make room there: it is"
        r" made from"
    )
    with pytest.raises(StoreError, match=words):
        decisions_file(store)
    assert not list(out.glob(".decisions*"))


def test_batches_join_to_the_whole(out, monkeypatch):
    whole = decisions_table(make_store(out, *EPISODES))
    monkeypatch.setattr(table_module, "_ROWS_A_BATCH", 1)
    assert written(decisions_table(make_store(out.parent / "in-batches", *EPISODES))) == written(
        whole
    )


def test_an_annotation_that_does_not_fit_is_a_store_error_and_leaves_no_table(out):
    wrong = Decision("Now?", MENU[:1], Choice("a", "drawn"), annotated({"deaht": -1.0}))
    store = make_store(out, Episode("id", None, 0, 1, "id", (wrong,), "terminated"))
    with pytest.raises(StoreError, match="Did you mean 'death'"):
        decisions_table(store)
    assert not (out / "decisions.parquet").exists()
