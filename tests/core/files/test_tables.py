"""CSV tables: read by their header, a bad row named and, where it may be, left out."""

from pathlib import Path

import pytest

from valueagents.errors import DataError
from valueagents.files.left_out import LeftOut
from valueagents.files.tables import csv_header, csv_rows


def _file(folder: Path, content: bytes | str) -> Path:
    path = folder / "a.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def _kept(folder: Path, content: bytes | str) -> tuple[list[tuple[str, str]], str]:
    """The rows of columns a and b, and what is said of those that are left out."""
    left_out, rows = LeftOut("a.csv"), []
    for where, row in csv_rows(_file(folder, content), ["a", "b"], left_out=left_out):
        with left_out.reading(where):
            rows.append((row["a"], row["b"]))
    return rows, " ".join(left_out.notes)


def test_rows_come_with_the_line_where_they_begin_and_quoted_newlines_count(tmp_path):
    path = _file(tmp_path, b'\xef\xbb\xbfb,a\r\n1,"x\r\ny"\r\n2,z\r\n')
    assert list(csv_rows(path, ["a"], optional=["b", "c"])) == [
        ("a.csv, line 2", {"a": "x\r\ny", "b": "1"}),
        ("a.csv, line 4", {"a": "z", "b": "2"}),
    ]
    assert [row for _, row in csv_rows(path, ["a"])] == [{"a": "x\r\ny"}, {"a": "z"}]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "b,aa\n1,2\n",
            r"a\.csv, line 1: unknown wanted column 'a'\. Did you mean 'aa'\? Give both",
        ),
        ("", r"a\.csv, line 1: unknown wanted column 'a'\. Give both"),
        ("a,b\n1,2\n3\n", r"a\.csv, line 3: 2 columns are wanted, this row has more or fewer"),
        ("a,b\n1,2,3\n", r"a\.csv, line 2: 2 columns are wanted, this row has more or fewer"),
        ('a,b\n1,"2\n', r"a\.csv, line 2: not a row of CSV \(unexpected end of data\)"),
        (b"a,b\n1,\xff\n", r"a\.csv, line 2: column b is not UTF-8 text"),
        (b"\xff\xfea\x00,\x00b\x00\n\x00", r"a\.csv, line 1: the header is not UTF-8 text"),
    ],
)
def test_what_is_no_csv_of_these_columns_is_named_with_its_line(tmp_path, content, message):
    with pytest.raises(DataError, match=message):
        list(csv_rows(_file(tmp_path, content), ["a", "b"], remedy="Give both."))


def test_a_column_that_is_wanted_and_there_twice_is_refused(tmp_path):
    path = _file(tmp_path, "id,x,id,,\n1,2,3,,\n")
    with pytest.raises(DataError, match=r"a\.csv, line 1: the column 'id' is there twice"):
        next(csv_rows(path, ["id"]))
    assert list(csv_rows(path, ["x"])) == [("a.csv, line 2", {"x": "2"})]


def test_names_are_read_without_the_spaces_round_them_and_empty_rows_are_none(tmp_path):
    path = _file(tmp_path, "\r\n a ,b\r\n\r\n1,2\r\n,\r\n")
    assert csv_header(path) == ("a", "b")
    assert list(csv_rows(path, ["a", "b"])) == [("a.csv, line 4", {"a": "1", "b": "2"})]


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ("1,2,3\n", "line 3: 2 columns are wanted"),
        ("1\n", "line 3: 2 columns are wanted"),
        ('1,"2\n', "line 3: "),
        ('"1"2,3\n', "line 3: "),
        ('"1,2\n', "line 3: "),
        (b"1,\xe9\n", "line 3: column b is not UTF-8 text; save the file as UTF-8 to keep it"),
        (b"1," + b"x" * 140_000 + b"\n", "line 3: not a row of CSV (field larger than field limit"),
    ],
)
def test_a_bad_row_costs_itself_alone(tmp_path, bad, said):
    bad = bad if isinstance(bad, bytes) else bad.encode()
    rows, told = _kept(tmp_path, b"a,b\nx,y\n" + bad + b'v,"w, ""w"""\n"t\nt",u\n')
    assert rows == [("x", "y"), ("v", 'w, "w"'), ("t\nt", "u")]
    assert told.startswith("a.csv: 1 of 4 rows left out (")
    assert said in told


def test_rows_that_an_open_quote_took_with_it_are_read(tmp_path):
    rows, told = _kept(tmp_path, 'a,b\n1,"open\n3,4\n5,""\n7,8\n')
    assert rows == [("3", "4"), ("5", ""), ("7", "8")]
    assert "1 of 4 rows left out (line 2: " in told


def test_a_row_of_another_length_with_newlines_in_its_cells_is_one_row(tmp_path):
    rows, told = _kept(tmp_path, 'a,b\n1,"one\ntwo\nthree",4\n5,6\n')
    assert rows == [("5", "6")]
    assert "1 of 2 rows left out (line 2: 2 columns" in told


def test_another_delimiter_parts_cells_and_commas_are_text(tmp_path):
    path = _file(tmp_path, "a;b\n1,5;x\n2;y;z\n")
    assert csv_header(path, ";") == ("a", "b")
    left_out = LeftOut("a.csv")
    assert list(csv_rows(path, ["a"], left_out=left_out, delimiter=";")) == [
        ("a.csv, line 2", {"a": "1,5"})
    ]
    assert left_out.reasons == {"2 columns are wanted, this row has more or fewer": ["line 3"]}
