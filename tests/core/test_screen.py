"""The door for what is printed: nothing but text passes, in every encoding."""

import io
import json
import logging
import os
import subprocess
import sys
import unicodedata
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from valueagents.running.execution import RunConfig, execute
from valueagents.running.header import write_header
from valueagents.running.runs import Run
from valueagents.screen import Screen, console, screens, visible, visible_json

HOSTILE = "\x1b]0;title\x07\x1b[2J\x9b31m\rover\u202eevil\u2066\u200b\ufeff\u2028 [red]x[/red]"
FORBIDDEN = "\x1b\x07\x9b\r\u202e\u2066\u200b\ufeff\u2028"
ENV = "valueagents/Dilemma-v0"

HOSTILE_ENV = """
import warnings, logging
from valueagents import Option, Turn, ValueEnv, load_taxonomy

HOSTILE = {hostile!r}

class Hostile(ValueEnv):
    task = HOSTILE
    taxonomy = load_taxonomy("schwartz20")
    version = "1"

    def __init__(self):
        super().__init__(max_menu=2)

    def start(self, situation):
        warnings.warn(HOSTILE)
        logging.getLogger("valueagents").warning("%s", HOSTILE)
        return Turn("text " + HOSTILE, (Option("a", HOSTILE), Option("b", "plain")))

    def advance(self, option):
        return Turn("end " + HOSTILE, terminated=True)
"""


@given(st.text())
def test_what_is_visible_is_printable_and_stays_as_it_is(text: str) -> None:
    shown = visible(text)
    for character in shown:
        category = unicodedata.category(character)
        assert character in "\n\t" or category not in ("Cc", "Cf", "Cs", "Zl", "Zp")
    assert visible(shown) == shown
    shown.encode()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31m", "[U+001B][31m"),
        ("a\r\nb\rc", "a\nb[U+000D]c"),
        ("\u202eabc\u2069", "[U+202E]abc[U+2069]"),
        ("a\u200bb\u3164\u034f", "a[U+200B]b[U+3164][U+034F]"),
        ("\U000e0041\U000e0101", "[U+E0041][U+E0101]"),
        ("\ud83d", "[U+D83D]"),
        ("naïve 日本 ❤️ −0.12\t–\n", "naïve 日本 ❤️ −0.12\t–\n"),
    ],
)
def test_a_character_that_is_not_seen_is_shown_as_its_code_point(text: str, shown: str) -> None:
    assert visible(text) == shown


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "ascii"])
@given(value=st.recursive(st.text(), lambda inner: st.dictionaries(st.text(), inner)))
def test_json_says_the_same_in_every_encoding(encoding: str, value: object) -> None:
    plain = json.dumps(value, ensure_ascii=False)
    shown = visible_json(plain, encoding)
    shown.encode(encoding)
    assert visible(shown) == shown
    assert json.loads(shown) == value


def test_rich_keeps_its_own_colours_and_shows_those_of_the_text(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from rich.table import Table

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    stream, table = Terminal(), Table("head", box=None)
    table.add_row(HOSTILE)
    made = console(Screen(stream), 200)  # type: ignore[arg-type]
    made.print(table)
    printed = stream.getvalue()
    assert "\x1b[1mhead" in printed
    assert "[U+001B]]0;title[U+0007][U+001B][2J" in printed
    assert "[red]x[/red]" in printed
    assert not set(FORBIDDEN) - {"\x1b"} & set(printed)


def test_streams_are_as_before_when_the_door_is_closed(capsys: pytest.CaptureFixture[str]) -> None:
    before = sys.stdout, sys.stderr, sys.stdout.errors
    with screens():
        print("a\x1b")
        print("b\u202e", file=sys.stderr)
        sys.stdout.writelines(["c\x07", "\n"])
        assert not hasattr(sys.stdout, "buffer")
    assert (sys.stdout, sys.stderr, sys.stdout.errors) == before
    out, err = capsys.readouterr()
    assert (out, err) == ("a[U+001B]\nc[U+0007]\n", "b[U+202E]\n")


def command(
    *words: str | Path, typed: str = "", environment: Mapping[str, str] | None = None
) -> tuple[int, bytes]:
    """Exit code and all that a command printed."""
    done = subprocess.run(
        [sys.executable, "-m", "valueagents", *map(str, words)],
        input=typed.encode(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, **(environment or {})},
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run directory that somebody sent: every text of it is hostile."""
    folder = tmp_path_factory.mktemp("sent")
    run = execute(RunConfig(env=ENV, policy="random", seed=1), folder / "run")
    taxonomy = run.header.taxonomy
    axes = [msgspec.structs.replace(axis, name=axis.name + HOSTILE) for axis in taxonomy.axes]
    header = msgspec.structs.replace(
        run.header,
        policy=HOSTILE,
        env=HOSTILE,
        task=HOSTILE,
        taxonomy=msgspec.structs.replace(taxonomy, axes=tuple(axes)),
    )
    write_header(run.path, header)
    return run.path


@pytest.mark.slow
@pytest.mark.parametrize("words", [["score"], ["score", "--json"], ["compare"], ["metric", "bbq"]])
def test_a_run_that_somebody_sent_sends_nothing_to_the_terminal(
    sent: Path, words: list[str]
) -> None:
    runs = [sent, sent] if words == ["compare"] else [sent]
    _, printed = command(*words, *runs)
    text = printed.decode()
    assert not set(FORBIDDEN) & set(text)
    assert "Traceback" not in text


@pytest.mark.slow
def test_a_game_sends_nothing_to_the_terminal(tmp_path: Path) -> None:
    file = tmp_path / "hostile.py"
    file.write_text(HOSTILE_ENV.format(hostile=HOSTILE), encoding="utf-8")
    env = f"{file}:Hostile"
    for words, typed in (
        (["play", env], "1\n"),
        (["check", env], ""),
        (["run", "--env", env, "--policy", "human", "--episodes", "1", "--out", tmp_path / "a"], "1\n"),
        (["run", "--env", env, "--policy", "random", "--episodes", "9", "--out", tmp_path / "b"], ""),
        (["report", tmp_path / "b"], ""),
        (["score", tmp_path / "b"], ""),
    ):  # fmt: skip
        _, printed = command(*words, typed=typed)
        text = printed.decode()
        assert not set(FORBIDDEN) & set(text), words
        assert "Traceback" not in text


@pytest.mark.parametrize(
    "words",
    [
        ["score", HOSTILE],
        ["run", "--env", HOSTILE, "--policy", "random", "--out", "x"],
        ["run", "--env", ENV, "--policy", HOSTILE, "--out", "x"],
        ["run", "--env", ENV, "--policy", "random", "--env-option", f"data={HOSTILE}", "--out", "x"],
        ["taxonomies", HOSTILE],
        ["metric", HOSTILE],
        ["--" + HOSTILE],
    ],
)  # fmt: skip
def test_an_error_shows_a_hostile_name_and_no_more(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    from valueagents.cli import main

    monkeypatch.setattr(sys, "argv", ["valueagents", *words])
    stream = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline="")
    monkeypatch.setattr(sys, "stderr", stream)
    with pytest.raises(SystemExit) as ended:
        main()
    stream.seek(0)
    text = stream.read()
    assert ended.value.code == 2
    assert not set(FORBIDDEN) & set(text)
    assert "title" in text


@pytest.mark.slow
@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONIOENCODING": "latin-1"},
        {"PYTHONIOENCODING": "ascii:strict"},
        {"LANG": "C", "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    ],
    ids=["latin-1", "ascii", "C"],
)
def test_no_encoding_of_the_terminal_ends_a_command_and_a_minus_stays_one(
    environment: dict[str, str], known_run: Run, random_run: Run, tmp_path: Path
) -> None:
    pair = (known_run.path, random_run.path)
    for words in (
        ("compare", *pair),
        ("score", known_run.path),
        ("report", *pair, "--out", tmp_path / "r.html"),
        ("estimators",),
        ("check", ENV),
        ("run", "--env", "ü", "--policy", "random", "--out", tmp_path / "x"),
    ):
        code, printed = command(*words, environment={**environment, "COLUMNS": "200"})
        assert code == (2 if "ü" in words else 0), printed.decode("latin-1")
        assert b"Traceback" not in printed
        if words[0] == "compare":
            assert b" -0." in printed
    _, printed = command("compare", *pair, "--json", environment=environment)
    _, wanted = command("compare", *pair, "--json")
    assert json.loads(printed.decode("latin-1")) == json.loads(wanted)


def test_a_word_that_is_not_utf8_is_one_line(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "valueagents", "score", os.fsencode(tmp_path) + b"/\xff"]
    done = subprocess.run(words, capture_output=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith(b"error: ")
    assert done.stderr.count(b"\n") == 1
    assert b"\\udcff' is not UTF-8" in done.stderr


def test_a_log_record_of_a_hostile_name_is_text(capsys: pytest.CaptureFixture[str]) -> None:
    with screens():
        handler = logging.StreamHandler()
        handler.emit(logging.makeLogRecord({"msg": HOSTILE}))
    assert not set(FORBIDDEN) & set(capsys.readouterr().err)
