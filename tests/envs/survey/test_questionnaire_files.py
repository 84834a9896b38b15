"""A questionnaire's statements in a CSV file as spreadsheets write it: read as it is, or refused
with the line, because with a statement missing its scores mean nothing.
"""

import pytest

from valueagents.envs.survey.env import SurveyEnv
from valueagents.errors import DataError

ROWS = [f"{number},Statement {number} about them.," for number in range(1, 22)]


def _env(tmp_path, *rows: str, encoding: str = "utf-8"):
    path = tmp_path / "pvq.csv"
    path.write_bytes("\r\n".join(["number,text,", *rows, ""]).encode(encoding))
    return SurveyEnv(items=str(path), key="pvq-21")


def test_marks_windows_newlines_quotes_and_empty_rows_and_headers_are_no_trouble(tmp_path):
    odd = ['1,"She says ""no"",\r\noften.",', "", ",,", *ROWS[1:]]
    texts = [s.text for s in _env(tmp_path, *odd, encoding="utf-8-sig").statements]
    assert texts[0] == 'She says "no",\r\noften.'
    assert len(texts) == 21


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("21", "line 22: "),
        ("21,Statement,,more", "line 22: "),
        ('21,"open,', "line 22: "),
        ("nan,Statement,", "line 22: number 'nan'"),
        ("21.0,Statement,", "line 22: number '21.0'"),
        ("21, ,", "line 22: "),
        ("20,Again.,", "line 22: "),
        ("99,Unknown.,", "line 22: "),
    ],
)
def test_a_row_that_is_no_statement_is_one_error_with_its_line(tmp_path, row, said):
    with pytest.raises(DataError, match=r"pvq\.csv, ") as error:
        _env(tmp_path, *ROWS[:20], row)
    assert f"pvq.csv, {said}" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_statement_in_latin_1_is_named_with_its_line(tmp_path):
    with pytest.raises(DataError, match=r"pvq\.csv, line 4: column text is not UTF-8 text"):
        _env(tmp_path, *ROWS[:2], "3,Au café.,", *ROWS[3:], encoding="latin-1")
