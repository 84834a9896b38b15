"""The reply cache: what was answered once is answered so for ever, whatever was killed
meanwhile.
"""

import asyncio
import json
import signal
import sqlite3
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import pytest

from valueagents.errors import PolicyError
from valueagents.measuring.scores import score
from valueagents.policies.engines import (
    Engine,
    GenerateReply,
    GenerateRequest,
    Message,
    Sampling,
    ScoreReply,
    ScoreRequest,
)
from valueagents.policies.engines import reply_cache as cache
from valueagents.policies.engines.reply_cache import CachingEngine
from valueagents.policies.engines.transformers.engine import TransformersEngine
from valueagents.running.execution import RunConfig, execute
from valueagents.running.runs import Run

CHAT = (Message("system", "Decide."), Message("user", "Now?"))
GENERATE = GenerateRequest(CHAT, Sampling(max_tokens=5), seed=3)
SCORE = ScoreRequest((CHAT,), ("A", "B"))
DEADLINE_S = 60.0
FREE = ("latency_s", "queue_s", "replayed")
"""Columns that a repetition may change."""


class CountingEngine(Engine):
    """Never says the same twice."""

    live = 2
    can = frozenset({"score", "generate", "choices"})

    def __init__(self, name: str = "counting/1", pause_s: float = 0.0) -> None:
        self.name, self.pause_s, self.answered, self.entered = name, pause_s, 0, 0

    def identity(self) -> dict[str, str]:
        return {"engine": self.name}

    async def __aenter__(self):
        self.entered += 1
        return self

    async def __aexit__(self, *_: object) -> None:
        self.entered -= 1

    async def score(self, request: ScoreRequest) -> ScoreReply:
        await asyncio.sleep(self.pause_s)
        self.answered += 1
        return ScoreReply(((-self.answered / 7, float("-inf")),), (1, 1), 10, 4, queue_s=0.5)

    async def generate(self, request: GenerateRequest) -> GenerateReply:
        await asyncio.sleep(self.pause_s)
        self.answered += 1
        return GenerateReply(f"é\n{self.answered}", "stop", 10, 4, 3, queue_s=0.5)


class LockedEngine(CountingEngine):
    """May be asked for its identity, never loaded."""

    async def __aenter__(self):
        pytest.fail("the model was loaded")


async def _ask(
    engine: Engine, file: Path, *requests: ScoreRequest | GenerateRequest
) -> list[ScoreReply | GenerateReply]:
    async with CachingEngine(engine, file) as cache:
        calls = (
            cache.score(r) if isinstance(r, ScoreRequest) else cache.generate(r) for r in requests
        )
        return await asyncio.gather(*calls)


def _lasting(reply: ScoreReply | GenerateReply) -> bytes:
    return msgspec.msgpack.encode(msgspec.structs.replace(reply, replayed=False, queue_s=0.0))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "of" / "replies.sqlite"


def _run(model: Path, out: Path, options: str) -> Run:
    """Six short dilemmas: the window is 512 tokens."""
    header = {
        "format": "valueagents-items",
        "version": 1,
        "taxonomy": "schwartz20",
        "task": "Decide.",
    }
    lines = [{**header, "provenance": "by hand", "scaling": "signs"}]
    for i in range(6):
        texts = (("a", "Give it back.", 1), ("b", "Keep it.", -1))
        choices = [{"id": name, "text": text, "values": {"BEC": x}} for name, text, x in texts]
        lines.append({"id": f"item-{i}", "text": f"Coat {i}.", "options": choices})
    data = out.parent / "items.jsonl"
    data.write_text("".join(json.dumps(line) + "\n" for line in lines))
    spec = f"transformers:{model}?{options}"
    return execute(
        RunConfig(env="valueagents/Dilemma-v0", env_options={"data": str(data)}, policy=spec), out
    )


def _lasting_table(played: Run) -> dict[str, list[object]]:
    return (
        played.decisions()
        .sort_by([("episode", "ascending"), ("step", "ascending")])
        .drop_columns(FREE)
        .to_pydict()
    )


def test_a_reply_comes_back_as_it_was_given_and_loads_nothing(file: Path):
    requests = [GENERATE, SCORE, msgspec.structs.replace(GENERATE, seed=4)]
    first = asyncio.run(_ask(CountingEngine(), file, *requests))
    second = asyncio.run(_ask(LockedEngine(), file, *requests))
    assert [_lasting(reply) for reply in first] == [_lasting(reply) for reply in second]
    assert not any(reply.replayed for reply in first)
    assert all(reply.replayed and reply.queue_s == 0 for reply in second)


@pytest.mark.parametrize(
    "other",
    [
        msgspec.structs.replace(GENERATE, seed=4),
        msgspec.structs.replace(GENERATE, adapter="a" * 16),
        msgspec.structs.replace(GENERATE, choices=("A",)),
        msgspec.structs.replace(GENERATE, sampling=Sampling(max_tokens=6)),
        msgspec.structs.replace(GENERATE, chat=(*CHAT, Message("assistant", "Now?"))),
        msgspec.structs.replace(
            GENERATE, chat=(Message("system", "Decide.Now?"), Message("user", ""))
        ),
        SCORE,
    ],
)
def test_another_request_is_asked(file: Path, other: ScoreRequest | GenerateRequest):
    engine = CountingEngine()
    asyncio.run(_ask(engine, file, GENERATE))
    [reply] = asyncio.run(_ask(engine, file, other))
    assert (engine.answered, reply.replayed) == (2, False)


def test_another_model_is_asked(file: Path):
    asyncio.run(_ask(CountingEngine("one"), file, GENERATE))
    other = CountingEngine("other")
    [reply] = asyncio.run(_ask(other, file, GENERATE))
    assert (other.answered, reply.replayed) == (1, False)


def test_the_same_question_asked_twice_at_once_is_asked_once(file: Path):
    engine = CountingEngine(pause_s=0.01)
    replies = asyncio.run(_ask(engine, file, *[GENERATE, SCORE] * 4))
    assert engine.answered == 2
    assert len({_lasting(reply) for reply in replies}) == 2
    assert sum(reply.replayed for reply in replies) == 6


def test_a_failed_answer_is_not_kept_and_the_next_asks_again(file: Path):
    class Failing(CountingEngine):
        async def generate(self, request: GenerateRequest) -> GenerateReply:
            if self.answered == 0:
                self.answered += 1
                raise PolicyError("the server is gone")
            return await super().generate(request)

    async def ask() -> list[object]:
        async with CachingEngine(Failing(), file) as cache:
            return await asyncio.gather(
                *(cache.generate(GENERATE) for _ in range(3)), return_exceptions=True
            )

    first, second, third = asyncio.run(ask())
    assert isinstance(first, PolicyError)
    assert _lasting(second) == _lasting(third)


def test_the_model_is_loaded_once_when_first_needed_and_freed(file: Path):
    engine = CountingEngine(pause_s=0.01)
    asyncio.run(_ask(engine, file))
    assert (engine.entered, engine.answered) == (0, 0)

    async def ask() -> int:
        async with CachingEngine(engine, file) as cache:
            await asyncio.gather(cache.generate(GENERATE), cache.score(SCORE))
            return engine.entered

    assert asyncio.run(ask()) == 1
    assert engine.entered == 0


def test_where_another_process_was_first_its_reply_counts(file: Path):
    async def ask() -> tuple[GenerateReply, ...]:
        slow, quick = CountingEngine(pause_s=0.05), CountingEngine()
        quick.answered = 40
        async with CachingEngine(slow, file) as one, CachingEngine(quick, file) as other:
            return tuple(await asyncio.gather(one.generate(GENERATE), other.generate(GENERATE)))

    one, other = asyncio.run(ask())
    assert _lasting(one) == _lasting(other)
    assert one.text == "é\n41"


@pytest.mark.parametrize(
    "junk",
    [b"not a database, but long enough to be looked at " * 9, b"SQLite format 3\0" + b"\7" * 90],
)
def test_a_file_that_is_no_cache_is_one_clear_line(file: Path, junk: bytes):
    file.parent.mkdir()
    file.write_bytes(junk)
    with pytest.raises(
        PolicyError, match=r"is not a cache of replies .*; move it away or name another"
    ) as caught:
        asyncio.run(_ask(CountingEngine(), file, GENERATE))
    assert "\n" not in str(caught.value)
    assert str(file) in str(caught.value)
    assert file.read_bytes() == junk


def test_a_folder_or_a_file_in_place_of_a_folder_is_one_clear_line(tmp_path: Path):
    (tmp_path / "file").write_text("x")
    for place in (tmp_path, tmp_path / "file" / "cache"):
        with pytest.raises(PolicyError, match="is not a cache of replies"):
            asyncio.run(_ask(CountingEngine(), place, GENERATE))


def test_another_database_and_another_format_are_refused_and_a_damaged_reply_named(file: Path):
    asyncio.run(_ask(CountingEngine(), file, GENERATE))
    with sqlite3.connect(file) as store:
        store.execute("UPDATE replies SET reply = x'80'")
    store.close()
    with pytest.raises(PolicyError, match="holds a damaged reply"):
        asyncio.run(_ask(CountingEngine(), file, GENERATE))
    with sqlite3.connect(file) as store:
        store.execute("UPDATE format SET name = 'valueagents-replies 0'")
    store.close()
    with pytest.raises(PolicyError, match="was written by another version"):
        asyncio.run(_ask(CountingEngine(), file, GENERATE))


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        (ScoreReply(((float("nan"), -1.0),), (1, 1), 10, 4), "a log-probability of nan"),
        (ScoreReply(((0.7, -1.0),), (1, 1), 10, 4), "a log-probability of 0.7"),
        (ScoreReply(((-1.0,),), (1, 1), 10, 4), "log-probabilities for 1 × 2"),
        (ScoreReply((), (1, 1), 10, 4), "log-probabilities for 1 × 2"),
        (ScoreReply(((-1.0, -2.0),), (1,), 10, 4), "log-probabilities for 1 × 2"),
        (ScoreReply(((-1.0, -2.0),), (1, 0), 10, 4), "answers of"),
        (ScoreReply(((-1.0, -2.0),), (1, 1), -3, 4), "counts of"),
        (ScoreReply(((-1.0, -2.0),), (1, 1), 2**63, 4), "counts of"),
        (ScoreReply(((-1.0, -2.0),), (1, 1), 10, 4, queue_s=float("nan")), "a wait of"),
    ],
)
def test_a_reply_that_no_model_gives_is_neither_kept_nor_believed(
    file: Path, reply: ScoreReply, problem: str
):
    class Crafted(CountingEngine):
        async def score(self, request: ScoreRequest) -> ScoreReply:
            return reply

    with pytest.raises(PolicyError, match=f"is not kept in .*{problem}"):
        asyncio.run(_ask(Crafted(), file, SCORE))
    asyncio.run(_ask(CountingEngine(), file, SCORE))
    packed = msgspec.msgpack.encode(reply)
    with sqlite3.connect(file) as store:
        [(key,)] = store.execute("SELECT request FROM replies").fetchall()
        store.execute(
            "UPDATE replies SET reply = ?, sum = ?",
            (packed, zlib.crc32(packed, zlib.crc32(key.encode()))),
        )
    store.close()
    with pytest.raises(
        PolicyError, match=rf"holds a reply that no model gave \(.*{problem}"
    ) as caught:
        asyncio.run(_ask(LockedEngine(), file, SCORE))
    assert "\n" not in str(caught.value)


def test_whichever_byte_of_a_cache_is_damaged_no_other_reply_comes_back(file: Path):
    said = "All that was said. " * 20

    class Saying(CountingEngine):
        async def generate(self, request: GenerateRequest) -> GenerateReply:
            self.answered += 1
            return GenerateReply(said, "stop", 10, 4, 3)

    asyncio.run(_ask(Saying(), file, GENERATE))
    whole = file.read_bytes()
    begin = whole.index(said.encode())
    refused = 0
    for place in [*range(begin - 120, begin + len(said) + 60, 7), *range(0, len(whole), 211)]:
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 0x15]) + whole[place + 1 :])
        try:
            [reply] = asyncio.run(_ask(Saying(), file, GENERATE))
        except PolicyError:
            refused += 1
        else:
            assert reply.text == said
        for rest in file.parent.glob("*-wal"), file.parent.glob("*-shm"):
            for each in rest:
                each.unlink()
    assert refused > len(said) // 7


def test_a_cache_of_the_format_before_gets_its_check_sums(file: Path):
    [first] = asyncio.run(_ask(CountingEngine(), file, GENERATE))
    with sqlite3.connect(file) as store:
        store.execute("CREATE TABLE old (request TEXT PRIMARY KEY, reply BLOB NOT NULL)")
        store.execute("INSERT INTO old SELECT request, reply FROM replies")
        store.execute("DROP TABLE replies")
        store.execute("ALTER TABLE old RENAME TO replies")
        store.execute("UPDATE format SET name = 'valueagents-replies 2'")
    store.close()
    [again] = asyncio.run(_ask(LockedEngine(), file, GENERATE))
    assert _lasting(again) == _lasting(first)
    with sqlite3.connect(file) as store:
        assert store.execute("SELECT name FROM format").fetchall() == [("valueagents-replies 3",)]
    store.close()


def test_a_cache_that_is_not_open_says_so(file: Path):
    with pytest.raises(PolicyError, match="not open"):
        asyncio.run(CachingEngine(CountingEngine(), file).generate(GENERATE))


@pytest.mark.parametrize(
    "options", ["reading=say&max_tokens=6", "reading=say&constrained=true", "reading=label"]
)
def test_a_second_run_replays_every_reply_without_the_model(
    tiny_model: Path, tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch, options: str
):
    first = _run(tiny_model, tmp_path / "first", f"{options}&cache={file}")
    monkeypatch.setattr(TransformersEngine, "__aenter__", lambda _: pytest.fail("loaded"))
    second = _run(tiny_model, tmp_path / "second", f"{options}&cache={file}")
    assert first.failed() == []
    assert first.decisions().num_rows >= 6
    assert _lasting_table(first) == _lasting_table(second)
    said = [
        [d.choice.raw for e in played.episodes() for d in e.decisions] for played in (first, second)
    ]
    assert said[0] == said[1]
    assert score(first).counts.replayed == 0
    counts = score(second).counts
    assert counts.replayed == counts.decisions


_PROGRAM = """
import asyncio, hashlib, sys
from pathlib import Path
import valueagents
from valueagents.policies.engines import reply_cache as cache
from valueagents.policies.engines.reply_cache import CachingEngine
from valueagents.policies.engines import Engine, GenerateReply
from valueagents.policies.language import LanguagePolicy
from valueagents.policies.prompts import load_prompt
from valueagents.policies.readings import SayReading

class Hashing(Engine):
    can, live = frozenset({"generate", "seeds"}), 3
    def identity(self): return {"engine": "hashing/1"}
    async def __aenter__(self): return self
    async def __aexit__(self, *_): pass
    async def score(self, request): raise NotImplementedError
    async def generate(self, request):
        await asyncio.sleep(0.01)
        letter = "AB"[hashlib.sha256(repr(request).encode()).digest()[0] % 2]
        return GenerateReply(letter, "stop", 40, 0, 1, queue_s=0.01)

cache, out, env, episodes = sys.argv[1:]
engine = CachingEngine(Hashing(), Path(cache)) if cache else Hashing()
policy = LanguagePolicy(engine, load_prompt("choose-1"), SayReading())
options = {"max_steps": 8} if "ChoiceScript" in env else {}
valueagents.run(env, policy, out, episodes=int(episodes), env_options=options)
"""
"""A run with an engine whose replies follow from the request alone, 10 ms each."""


def _process(
    out: Path, cache: Path | str, episodes: int, env: str = "valueagents/Dilemma-v0"
) -> subprocess.Popen[bytes]:
    arguments = [str(cache), str(out), env, str(episodes)]
    return subprocess.Popen([sys.executable, "-c", _PROGRAM, *arguments])


def _replies(file: Path) -> dict[str, bytes]:
    try:
        store = sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=10)
        try:
            return dict(store.execute("SELECT request, reply FROM replies"))
        finally:
            store.close()
    except sqlite3.OperationalError:
        return {}


def _wait_for(done: Callable[[], bool], processes: Sequence[subprocess.Popen[bytes]]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not done():
        assert time.monotonic() < deadline
        assert any(process.poll() is None for process in processes), "all have ended"
        time.sleep(0.01)


@pytest.mark.slow
def test_a_killed_run_loses_no_reply_and_repeated_equals_an_undisturbed_one(
    tmp_path: Path, file: Path
):
    game = "valueagents/ChoiceScript-v0"  # several decisions an episode: some are cut in two
    killed = _process(tmp_path / "killed", file, 100, game)
    try:
        _wait_for(lambda: len(_replies(file)) >= 40, [killed])
    finally:
        killed.send_signal(signal.SIGKILL)
        killed.wait()
    survived = _replies(file)
    finished = sum(len(episode.decisions) for episode in Run(tmp_path / "killed").episodes())
    assert 0 < finished < len(survived)
    others = [
        _process(tmp_path / "killed", file, 12, game),
        _process(tmp_path / "undisturbed", "", 12, game),
    ]
    assert [process.wait(DEADLINE_S) for process in others] == [0, 0]
    repeated, undisturbed = Run(tmp_path / "killed"), Run(tmp_path / "undisturbed")
    assert _lasting_table(repeated) == _lasting_table(undisturbed)
    again = _replies(file)
    assert {key: again[key] for key in survived} == survived
    replayed = sum(repeated.decisions()["replayed"].to_pylist())
    # answered, their episodes unfinished: not asked again
    assert replayed == len(survived) - finished > 0


@pytest.mark.slow
def test_two_processes_write_one_file_at_once(tmp_path: Path, file: Path):
    processes = [_process(tmp_path / name, file, 60) for name in ("one", "other")]
    assert [process.wait(DEADLINE_S) for process in processes] == [0, 0]
    one, other = Run(tmp_path / "one"), Run(tmp_path / "other")
    assert _lasting_table(one) == _lasting_table(other)
    assert one.failed() == other.failed() == []
    assert len(_replies(file)) == one.decisions().num_rows == 60


@pytest.mark.slow
def test_many_open_a_new_file_at_the_same_time(file: Path):
    program = (
        "import sqlite3, sys, time; from valueagents.policies.engines.reply_cache import _FORMAT,"
        " _prepared\nfor number in range(40):\n    time.sleep(max(0.0, float(sys.argv[2]) + number"
        " / 40 - time.time()))\n    store = sqlite3.connect(f'{sys.argv[1]}{number}', timeout=60,"
        " isolation_level=None)\n    assert _prepared(store) == [_FORMAT]; store.close()"
    )
    file.parent.mkdir()
    start = str(time.time() + 2)
    opened = [subprocess.Popen([sys.executable, "-c", program, str(file), start]) for _ in range(6)]
    assert [process.wait(DEADLINE_S) for process in opened] == [0] * 6


def test_a_file_that_another_does_not_let_go_of_is_called_held_not_damaged(
    file: Path, monkeypatch: pytest.MonkeyPatch
):
    file.parent.mkdir()
    monkeypatch.setattr(cache, "_PATIENCE_S", 0.1)
    holder = sqlite3.connect(file, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(PolicyError, match="held by another process; wait"):
        asyncio.run(_ask(CountingEngine(), file, GENERATE))
    holder.close()
    asyncio.run(_ask(CountingEngine(), file, GENERATE))
