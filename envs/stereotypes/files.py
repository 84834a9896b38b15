"""Read questions and sentence pairs from files: ours (JSON lines), BBQ and its kin, CrowS-Pairs and
its translations. What a file is, its first row tells.

A bad line of our format is an error, a bad row of a published file is left out, named and counted.
"""

from collections.abc import Callable, Iterator, Sequence
from importlib.resources import files
from pathlib import Path

import msgspec

from valueagents.envs.stereotypes.bbq import KEYS, Targets, bbq_probe, read_targets
from valueagents.envs.stereotypes.languages import BUNDLED, language_of
from valueagents.envs.stereotypes.other_bbq import GG_KEYS, by_shared_texts, gg_probe, kobbq_rows
from valueagents.envs.stereotypes.pairs import delimiter_of, is_of_pairs, pair_rows
from valueagents.envs.stereotypes.records import (
    Probe,
    SentencePair,
    StereotypeRows,
    check_pair,
    check_probe,
    distinct_ids,
    leave_out_swapped,
    parallel,
)
from valueagents.errors import ConfigError, DataError, unknown_name
from valueagents.files.left_out import LeftOut
from valueagents.files.tables import csv_header
from valueagents.files.text import decode_json, once_per_file, read_lines, read_text, require_file

SUFFIXES = (".jsonl", ".csv", ".tsv")
_KINDS = "neither .jsonl (our format, BBQ, GG-BBQ) nor .csv or .tsv (KoBBQ, CrowS-Pairs)"
_CONTROL = "_control"


class StereotypeBank(msgspec.Struct, frozen=True, kw_only=True):
    """The questions, or the pairs, of one language. `notes` say what was left out."""

    language: str
    source: str
    probes: tuple[Probe, ...] = ()
    pairs: tuple[SentencePair, ...] = ()
    notes: tuple[str, ...] = ()


def bundled_probes(language: str) -> Path:
    """The bundled probe set of a language. Raises ConfigError where there is none."""
    if language not in BUNDLED:
        remedy = f"Bundled: {', '.join(BUNDLED)}; for others give data=FILE."
        raise ConfigError(unknown_name("language", language, BUNDLED, remedy=remedy))
    folder = Path(str(files("valueagents.envs").joinpath("data", "stereotype_probes")))
    return folder / f"{language}.jsonl"


def files_of(data: Path, language: str | None, *, control: bool) -> tuple[Path, ...]:
    """The file; or of a folder those of the language, if their names tell one, and of the control
    set if that is asked for, else those that are not of it.

    Raises ConfigError if there are none.
    """
    if not data.is_dir():
        require_file(data, SUFFIXES, _KINDS)
        return (data,)
    every = [each for each in sorted(data.iterdir()) if each.suffix in SUFFIXES]
    named = [each for each in every if language_of(each) in (None, language or "en")]
    kept = tuple(each for each in named if (_CONTROL in each.stem) == control)
    if not kept:
        what = "control set" if control else "data"
        raise ConfigError(
            f"{str(data)!r} holds no {what} in language {language or 'en'!r}: {len(every)} files"
            f" {', '.join(SUFFIXES)}"
        )
    return kept


@once_per_file
def read_stereotypes(
    paths: tuple[Path, ...],
    language: str | None = None,
    parallel_to: tuple[Path, ...] = (),
    metadata: Path | None = None,
) -> StereotypeBank:
    """The questions or pairs of files of one kind and language.

    `parallel_to`: files of another language; what does not stand there under the same id, or says
    something else of itself there, is left out. `metadata`: BBQ's `additional_metadata.csv`. Raises
    ConfigError if the files are of several kinds, DataError, with file and line, for a bad line of
    our format, or if nothing of a file is good.
    """
    targets = None if metadata is None else read_targets(metadata)
    language = language or language_of(paths[0])
    found: list[tuple[str, Probe | SentencePair]] = []
    others = _by_id(parallel_to, targets)
    left: list[LeftOut] = []
    source = ""
    for path in paths:
        left_out = LeftOut(path.name)
        source, rows, told = _read(path, left_out, targets, language)
        language = language or told
        if others:
            rows = parallel(rows, others, parallel_to[0].name, left_out)
        left_out.require_some(rows)
        found += rows
        left.append(left_out)
    kept = [each for _, each in distinct_ids(found, left[-1])]
    probes = tuple(each for each in kept if isinstance(each, Probe))
    pairs = tuple(each for each in kept if isinstance(each, SentencePair))
    if probes and pairs:
        raise ConfigError(
            f"{paths[0].parent} holds both questions and sentence pairs; give one kind of file"
        )
    notes = tuple(note for left_out in left for note in left_out.notes)
    return StereotypeBank(
        language=language or "en", source=source, probes=probes, pairs=pairs, notes=notes
    )


def _by_id(paths: Sequence[Path], targets: Targets | None) -> dict[str, Probe | SentencePair]:
    """What other files hold, by id; what they lack is theirs to tell."""
    return {
        each.id: each
        for path in paths
        for _, each in _read(path, LeftOut(path.name), targets, language_of(path))[1]
    }


def _read(
    path: Path, left_out: LeftOut, targets: Targets | None, language: str | None
) -> tuple[str, StereotypeRows, str | None]:
    """Whose set the file is of, its good rows with their places, and the language that it must be
    of.
    """
    if path.suffix != ".jsonl":
        return _read_table(path, left_out, language)
    first = next(
        (line for line in read_text(path, "surrogateescape").split("\n") if line.strip()), ""
    )
    keys = _keys(first)
    if keys >= GG_KEYS:
        probes = _published(path, left_out, lambda where, row: gg_probe(where, row, left_out))
        return "GG-BBQ", leave_out_swapped(by_shared_texts(probes), left_out), "de"
    if keys >= KEYS:
        control = _CONTROL in path.stem

        def read(where: str, row: object) -> Probe:
            return bbq_probe(where, row, left_out, control=control, targets=targets)

        return "BBQ's format", leave_out_swapped(_published(path, left_out, read), left_out), None
    return "valueagents stereotype probes", _own(path), None


def _read_table(
    path: Path, left_out: LeftOut, language: str | None
) -> tuple[str, StereotypeRows, str | None]:
    delimiter = delimiter_of(path)
    header = csv_header(path, delimiter)
    if is_of_pairs(header):
        pairs = []
        for where, pair in pair_rows(path, left_out, language=language or "en"):
            try:
                check_pair(where, pair)
            except DataError as error:
                left_out.take_back(where, str(error))
            else:
                pairs.append((where, pair))
        return "CrowS-Pairs' format", pairs, None
    probes = _checked(kobbq_rows(path, left_out), left_out)
    return "KoBBQ", leave_out_swapped(probes, left_out), "ko"


def _published(
    path: Path, left_out: LeftOut, read: Callable[[str, object], Probe]
) -> list[tuple[str, Probe]]:
    """The good rows of a published file of JSON lines."""

    def rows() -> Iterator[tuple[str, Probe]]:
        lines = read_text(path, "surrogateescape").split("\n")
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            where = f"{path.name}, line {number}"
            with left_out.reading(where):
                yield where, read(where, decode_json(where, line, dict[str, object]))

    return _checked(rows(), left_out)


def _checked(rows: Iterator[tuple[str, Probe]], left_out: LeftOut) -> list[tuple[str, Probe]]:
    """Those that can be asked and scored; others are left out."""
    kept = []
    for where, probe in rows:
        try:
            check_probe(where, probe)
        except DataError as error:
            left_out.take_back(where, str(error))
        else:
            kept.append((where, probe))
    return kept


def _own(path: Path) -> list[tuple[str, Probe]]:
    """The lines of our format. Raises DataError for the first bad one."""
    found = []
    for number, line in enumerate(read_lines(path), 1):
        where = f"{path.name}, line {number}"
        probe = decode_json(where, line, Probe)
        check_probe(where, probe)
        found.append((where, probe))
    return [each for each in distinct_ids(found, None) if isinstance(each[1], Probe)]  # type: ignore[misc]


def _keys(line: str) -> frozenset[str]:
    """The keys of a line of JSON; none if it is not an object."""
    try:
        return frozenset(decode_json("", line, dict[str, object]))
    except DataError:
        return frozenset()
