"""What a reader leaves out is counted, named with its place, and no text is hidden in entities."""

import pytest

from valueagents.errors import DataError
from valueagents.files.left_out import LeftOut, decoded


def _left_out(*reasons: str, good: int = 0) -> LeftOut:
    found = LeftOut("a.csv")
    for number, reason in enumerate(reasons, 2):
        with found.reading(f"a.csv, line {number}"):
            raise DataError(f"a.csv, line {number}: {reason}")
    for number in range(good):
        with found.reading(f"a.csv, line {number + 50}"):
            pass
    return found


def test_rows_are_counted_and_named_by_their_reasons():
    found = _left_out("it is empty", "it is odd", *["it is empty"] * 3, good=4)
    assert found.notes == (
        "a.csv: 5 of 9 rows left out (lines 2, 4-6: it is empty; line 3: it is odd)",
    )


def test_nothing_left_out_is_no_note_and_something_is_no_error():
    found = _left_out(good=2)
    assert found.notes == ()
    found.require_some([1])
    _left_out("odd").require_some([1])


def test_a_file_of_bad_rows_is_one_error_with_their_reasons():
    with pytest.raises(DataError, match=r"a\.csv has nothing to give: 2 of 2 rows left out \(line"):
        _left_out("odd", "empty").require_some([])
    with pytest.raises(DataError, match=r"a\.csv holds no posts"):
        LeftOut("a.csv", "posts").require_some([])


def test_a_row_that_was_read_may_be_taken_back():
    found = _left_out(good=3)
    found.take_back("a.csv, line 51", "its other half is missing")
    assert found.notes == ("a.csv: 1 of 3 rows left out (line 51: its other half is missing)",)


def test_very_many_reasons_stay_one_sentence_that_names_every_place():
    [note] = _left_out(*[f"no. {n} {'x' * 1000}" for n in range(500)]).notes
    assert len(note) < 4000
    assert "\n" not in note
    assert note.endswith("lines 12-501: for other reasons)")


def test_places_that_are_no_lines_are_listed():
    found = LeftOut("a.json", "posts")
    for place in ("HED[3]", "HED[4]", "TRA[1]", "HED[5]", "\udce9"):
        found.add(f"a.json, {place}", DataError(f"a.json, {place}: odd"))
    assert found.notes == ("a.json: 5 of 5 posts left out (HED[3-5], TRA[1], \\udce9: odd)",)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("Tom &amp; I &lt;3", "Tom & I <3"),
        ("one&#x200B; two&amp;#x200b;\n", "one two\n"),
        ("don&#39;t &quot;go&quot; caf&eacute;", 'don\'t "go" café'),
        ("a\u200bb\ufeffc\u00add\u2060", "abcd"),
        ("well\u200c, \u200dyes", "well, yes"),
        ("👩\u200d💻 می\u200cخواهم", "👩\u200d💻 می\u200cخواهم"),
        (
            "AT&T, R&D & co; a &copy b &nosuch; 3 &lt 4",
            "AT&T, R&D & co; a &copy b &nosuch; 3 &lt 4",
        ),
    ],
)
def test_entities_and_zero_width_characters_are_decoded_and_nothing_else(raw, text):
    assert decoded(raw) == text


@pytest.mark.parametrize("text", ["", " \n", "nan", "NaN", " N/A", "null", "None", "&#x200B;"])
def test_an_empty_text_and_a_word_for_nothing_are_refused(text):
    with pytest.raises(DataError, match=r"a\.csv, line 2: column b is "):
        LeftOut("a.csv").text("a.csv, line 2", "column b", text)


def test_texts_that_were_decoded_are_counted():
    found = LeftOut("a.csv")
    assert found.text("here", "b", "x &amp; y") == "x & y"
    assert found.text("here", "b", " x ") == " x "
    assert found.notes == ("a.csv: HTML entities or zero-width characters decoded in 1 texts",)
    with pytest.raises(DataError, match="here: b is not UTF-8 text"):
        found.text("here", "b", "caf\udce9")
