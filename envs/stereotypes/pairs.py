"""CrowS-Pairs (Nangia et al. 2020): English, French (Névéol et al. 2022), the languages of
MultiLingualCrowsPairs, and the parallel gender pairs of Steinborn et al. 2022.

In all of them the first sentence of a pair fits the stereotype more, whatever `stereo_antistereo`
says: that tells whether it states a stereotype of a disadvantaged group or the second contradicts
one.
"""

from collections.abc import Iterator
from pathlib import Path

from valueagents.envs.stereotypes.records import SentencePair
from valueagents.errors import DataError, unknown_name
from valueagents.files.left_out import LeftOut
from valueagents.files.tables import csv_header, csv_rows

SENTENCES = ("sent_more", "sent_less")
PARALLEL = ("ID", "A_en", "B_en", "A_x", "B_x", "stereo_antistereo")
_DIRECTIONS = ("stereo", "antistereo")
_IDS = ("id", "ID", "index", "indice", "column 1")


def delimiter_of(path: Path) -> str:
    """A tab, where the first row of the file has columns that are parted by tabs."""
    by_tabs = csv_header(path, "\t")
    return "\t" if len(by_tabs) > len(csv_header(path)) else ","


def is_of_pairs(header: tuple[str, ...]) -> bool:
    """True for the header of a file of sentence pairs."""
    return set(SENTENCES) <= set(header) or set(PARALLEL) <= set(header)


def pair_rows(
    path: Path, left_out: LeftOut, *, language: str
) -> Iterator[tuple[str, SentencePair]]:
    """The pairs of a file. Raises DataError for a missing column."""
    delimiter = delimiter_of(path)
    header = csv_header(path, delimiter)
    if set(PARALLEL) <= set(header):
        yield from _parallel_rows(path, left_out, language)
        return
    own_id = next((name for name in _IDS if name in header), None)
    columns = [*SENTENCES, "stereo_antistereo", "bias_type", *filter(None, [own_id])]
    remedy = "CrowS-Pairs and its translations have them."
    rows = csv_rows(path, columns, remedy=remedy, left_out=left_out, delimiter=delimiter)
    for number, (where, row) in enumerate(rows):
        with left_out.reading(where):
            yield (
                where,
                _pair(
                    where,
                    left_out,
                    id=row[own_id] if own_id else str(number),
                    bias_type=left_out.text(where, "bias_type", row["bias_type"]).strip(),
                    direction=row["stereo_antistereo"],
                    texts=(row[SENTENCES[0]], row[SENTENCES[1]]),
                ),
            )


def _parallel_rows(
    path: Path, left_out: LeftOut, language: str
) -> Iterator[tuple[str, SentencePair]]:
    """English in A_en and B_en, another language in A_x and B_x."""
    for where, row in csv_rows(path, PARALLEL, left_out=left_out):
        with left_out.reading(where):
            pair = _pair(
                where,
                left_out,
                id=row["ID"],
                bias_type="gender",
                direction=row["stereo_antistereo"],
                texts=(row["A_x"], row["B_x"]),
            )
            english = (row["A_en"].strip(), row["B_en"].strip())
            if language != "en" and pair.stereotyped in english and pair.other in english:
                raise DataError(f"{where}: not translated: both sentences are the English ones")
            yield where, pair


def _pair(
    where: str,
    left_out: LeftOut,
    *,
    id: str,  # noqa: A002 – as the field is called
    bias_type: str,
    direction: str,
    texts: tuple[str, str],
) -> SentencePair:
    if direction.strip() not in _DIRECTIONS:
        problem = unknown_name("stereo_antistereo", direction.strip()[:40], _DIRECTIONS)
        raise DataError(f"{where}: {problem}")
    more, less = (left_out.text(where, "a sentence", text).strip() for text in texts)
    return SentencePair(
        id=left_out.text(where, "the id", id).strip(),
        bias_type=bias_type,
        direction=direction.strip(),
        stereotyped=more,
        other=less,
    )
