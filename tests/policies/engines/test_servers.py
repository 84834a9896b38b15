"""One model behind several servers: an episode stays on one, and one that dies is left and taken
back.
"""

import asyncio
from collections.abc import Iterator

import pytest
from aiohttp import web

from chat_server import ChatServer, answer
from valueagents.errors import ConfigError, PolicyError
from valueagents.policies.engines import GenerateReply, GenerateRequest, Message, Sampling
from valueagents.policies.engines.openai import servers as pool
from valueagents.policies.engines.openai.servers import OpenAIServers
from valueagents.running.execution import RunConfig, execute


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[ChatServer]]:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setattr(pool, "_LEAVE_AFTER_S", 0.3)
    monkeypatch.setattr(pool, "_BACK_AFTER_S", 1.0)
    monkeypatch.setattr(pool, "_PAUSE_S", 0.05)
    mocks = [ChatServer(), ChatServer()]
    for mock in mocks:
        mock.chat = lambda _: answer("A")
    yield mocks
    for mock in mocks:
        mock.close()


def engine(mocks: list[ChatServer], **options: object) -> OpenAIServers:
    settings = {"server": "other", "patience_s": 8.0, "timeout_s": 4.0, **options}
    urls = ",".join(mock.url for mock in mocks)
    return OpenAIServers(urls, OpenAIServers.Options(**settings))


def chat(episode: int, turn: int = 0) -> GenerateRequest:
    later = [Message("assistant", "A"), Message("user", "And now?")] * turn
    messages = (Message("system", "Decide."), Message("user", f"Item {episode}."), *later)
    return GenerateRequest(messages, Sampling(max_tokens=5), seed=1)


def test_an_episode_stays_on_one_server_and_episodes_are_shared_out(two):
    async def go() -> None:
        async with engine(two) as model:
            for episode in range(30):
                for turn in range(3):
                    await model.generate(chat(episode, turn))

    asyncio.run(go())
    met = [{body["messages"][1]["content"] for body in mock.bodies} for mock in two]
    assert not met[0] & met[1]
    assert min(map(len, met)) >= 5
    assert sum(len(mock.bodies) for mock in two) == 90


def test_a_server_that_dies_is_left_and_taken_back_and_nothing_is_lost(two):
    async def go() -> list[GenerateReply]:
        async with engine(two) as model:
            before = [await model.generate(chat(k)) for k in range(8)]
            await asyncio.to_thread(two[0].stop)
            without = await asyncio.gather(*(model.generate(chat(k)) for k in range(16)))
            await asyncio.to_thread(two[0].start)
            await asyncio.sleep(1.2)
            two[0].bodies.clear()
            after = [await model.generate(chat(k)) for k in range(16)]
            return [*before, *without, *after]

    replies = asyncio.run(go())
    assert [reply.text for reply in replies] == ["A"] * 40
    assert max(reply.attempts for reply in replies) > 1
    assert two[0].bodies, "the server was not taken back"


def test_only_the_episodes_of_the_dead_server_move(two):
    async def go() -> None:
        async with engine(two) as model:
            for k in range(12):
                await model.generate(chat(k))
            stayed = {body["messages"][1]["content"] for body in two[1].bodies}
            await asyncio.to_thread(two[0].stop)
            two[1].bodies.clear()
            for k in range(12):
                reply = await model.generate(chat(k))
                if f"Item {k}." in stayed:
                    assert reply.attempts == 1

    asyncio.run(go())
    assert len(two[1].bodies) == 12


def test_a_server_that_is_not_up_at_the_start_is_taken_in_later(two):
    two[0].stop()

    async def go() -> None:
        async with engine(two) as model:
            assert (await model.generate(chat(1))).text == "A"
            await asyncio.to_thread(two[0].start)
            await asyncio.sleep(1.2)
            for k in range(16):
                await model.generate(chat(k))

    asyncio.run(go())
    assert two[0].bodies


def test_where_all_are_dead_patience_ends_with_one_clear_line(two):
    async def go() -> None:
        async with engine(two, patience_s=1.0) as model:
            for mock in two:
                await asyncio.to_thread(mock.stop)
            await model.generate(chat(1))

    with pytest.raises(PolicyError, match=r"none of 2 servers gave an answer within 1 s"):
        asyncio.run(go())
    with pytest.raises(PolicyError, match="no server answers at"):
        engine(two).identity()


def test_what_a_server_refuses_is_not_asked_of_another(two):
    for mock in two:
        mock.chat = lambda _: web.json_response({"error": {"message": "bad chat"}}, status=400)

    async def go() -> None:
        async with engine(two) as model:
            await model.generate(chat(1))

    with pytest.raises(PolicyError, match="bad chat"):
        asyncio.run(go())
    assert sum(len(mock.bodies) for mock in two) == 1


def test_servers_of_two_models_are_refused_naming_what_differs(two):
    two[1].models = lambda _: web.json_response({"data": [{"id": "another"}]})
    with pytest.raises(ConfigError, match="its model is another, not m; give servers of one model"):
        engine(two).identity()


def test_how_many_servers_there_are_is_no_part_of_the_identity(two):
    assert engine(two).identity() == engine(two[:1]).identity()
    assert engine(two).live == 2 * engine(two[:1]).live


@pytest.mark.parametrize(
    "target", ["http://a/v1,", "http://a/v1,http://a/v1", ",", "http://a/v1,,http://b/v1"]
)
def test_urls_that_are_missing_or_there_twice_are_refused(target):
    with pytest.raises(ConfigError, match="give each server's URL once"):
        OpenAIServers(target, OpenAIServers.Options(server="other"))


def test_each_of_several_adapters_has_servers_of_its_own(two, monkeypatch):
    class Named:
        def __init__(self, name: str) -> None:
            self.name = name

    model = engine(two)
    model._adapters = (Named("kind"), Named("cold"))
    begin = chat(1).chat
    firsts = {
        name: {model._order(chat(k).chat, name)[0].url for k in range(20)}
        for name in ("kind", "cold")
    }
    assert firsts["kind"] != firsts["cold"]
    assert all(len(urls) == 1 for urls in firsts.values())
    assert {model._order(chat(k).chat, None)[0].url for k in range(20)} == {
        mock.url for mock in two
    }
    assert len(model._order(begin, "kind")) == 2


@pytest.mark.slow
def test_a_run_goes_on_when_one_of_two_servers_is_killed(two, out):
    count = 0

    def after_ten(finished: int, failed: int, owed: int) -> None:
        nonlocal count
        count = finished
        if finished == 10:
            two[0].stop()

    urls = ",".join(mock.url for mock in two)
    spec = f"openai:{urls}?server=other&reading=say&patience_s=20&live=4"
    run = execute(
        RunConfig(env="valueagents/Dilemma-v0", policy=spec, episodes=60, seed=1),
        out,
        progress=after_ten,
    )
    assert (count, run.failed()) == (60, [])
    assert all(mock.bodies for mock in two)
