"""The gate before a server that takes in adapters: what it lets through to what stands behind it,
and what not.
"""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from safetensors.torch import load_file, save_file

from valueagents.policies.adapters import WEIGHTS, read_adapter
from valueagents.policies.engines.vllm.adapter_gate import (
    LIMITS_VARIABLE,
    LOAD_PATH,
    AdapterGate,
    AdapterLimits,
)
from valueagents.policies.models import ModelFiles


class Behind:
    """Stands for vLLM: notes path and body of what reaches it."""

    def __init__(self, status: int = 200) -> None:
        self.status = status
        self.asked: list[tuple[str, bytes]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.asked.append((scope["path"], (await receive())["body"]))
        await asyncio.sleep(0.01)
        await send({"type": "http.response.start", "status": self.status})
        await send({"type": "http.response.body", "body": b"{}"})


@pytest.fixture
def name(tiny_adapter: Path, tiny_model: Path) -> str:
    return read_adapter(str(tiny_adapter), ModelFiles("tiny", tiny_model)).name


@pytest.fixture
def behind() -> Behind:
    return Behind()


@pytest.fixture
def gate(
    behind: Behind, tiny_adapter: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> AdapterGate:
    """One slot for an adapter like that one."""
    limits = AdapterLimits(str(tiny_model), str(tiny_adapter.parent), 8, ("q_proj", "v_proj"), 1)
    monkeypatch.setenv(LIMITS_VARIABLE, msgspec.json.encode(limits).decode())
    return AdapterGate(behind)


async def post(gate: AdapterGate, path: str, body: bytes) -> tuple[int, str]:
    """Status and text of the answer; the body comes in two pieces."""
    pieces = [{"body": body[:7], "more_body": True}, {"body": body[7:]}]
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", **(pieces.pop(0) if pieces else {})}

    async def send(message: Any) -> None:
        sent.append(message)

    await gate({"type": "http", "method": "POST", "path": path}, receive, send)
    return sent[0]["status"], sent[1]["body"].decode()


def load(gate: AdapterGate, name: str, path: Path | str, **more: Any) -> tuple[int, str]:
    return asyncio.run(
        post(
            gate,
            LOAD_PATH,
            json.dumps({"lora_name": name, "lora_path": str(path), **more}).encode(),
        )
    )


def test_what_fits_reaches_the_server_word_for_word(
    gate: AdapterGate, behind: Behind, tiny_adapter: Path, name: str
):
    assert load(gate, name, tiny_adapter)[0] == 200
    ((path, body),) = behind.asked
    assert path == "/v1/load_lora_adapter"
    assert json.loads(body) == {"lora_name": name, "lora_path": str(tiny_adapter)}


def test_the_last_slot_is_taken_once(
    gate: AdapterGate,
    behind: Behind,
    tiny_adapter: Path,
    name: str,
    make_adapter: Callable[..., Path],
    tiny_model: Path,
):
    body = json.dumps({"lora_name": name, "lora_path": str(tiny_adapter)}).encode()

    async def both() -> list[tuple[int, str]]:
        return await asyncio.gather(*(post(gate, LOAD_PATH, body) for _ in range(2)))

    assert [status for status, _ in asyncio.run(both())] == [200, 200]
    assert len(behind.asked) == 1
    other = make_adapter(tiny_model, seed=2)
    status, said = load(gate, read_adapter(str(other), ModelFiles("tiny", tiny_model)).name, other)
    assert (status, "all 1 slots are taken" in said) == (400, True)


def test_an_adapter_that_the_server_did_not_load_takes_no_slot(
    gate: AdapterGate, behind: Behind, tiny_adapter: Path, name: str
):
    behind.status = 500
    assert load(gate, name, tiny_adapter)[0] == 500
    behind.status = 200
    assert load(gate, name, tiny_adapter)[0] == 200
    assert len(behind.asked) == 2


def test_another_content_than_the_name_says_is_refused(
    gate: AdapterGate, behind: Behind, tiny_adapter: Path
):
    status, said = load(gate, "0" * 64, tiny_adapter)
    assert (status, "holds the adapter" in said, behind.asked) == (400, True, [])


@pytest.mark.filterwarnings("ignore:Setting .save_embedding_layers.")
def test_an_adapter_that_the_server_would_apply_in_part_is_refused(
    gate: AdapterGate,
    behind: Behind,
    make_adapter: Callable[..., Path],
    tiny_model: Path,
    tiny_adapter: Path,
):
    folder = tiny_adapter.parent / "head"
    make_adapter(tiny_model, seed=3, modules=("q_proj", "lm_head")).rename(folder)
    tensors = load_file(folder / WEIGHTS)
    save_file(
        {name: tensor for name, tensor in tensors.items() if ".lora_" in name}, folder / WEIGHTS
    )
    name = read_adapter(str(folder), ModelFiles("tiny", tiny_model)).name
    status, said = load(gate, name, folder)
    assert (status, "adapts lm_head" in said, behind.asked) == (400, True, [])


@pytest.mark.parametrize("way", ["{0}/../../etc", "relative", "{1}/link", "/etc"])
def test_a_path_that_leads_out_of_the_folder_is_refused(
    gate: AdapterGate, behind: Behind, tiny_adapter: Path, name: str, tmp_path: Path, way: str
):
    (tmp_path / "link").symlink_to(tiny_adapter)
    status, said = load(gate, name, way.format(tiny_adapter, tmp_path))
    assert (status, "the only folder" in said, behind.asked) == (400, True, [])


@pytest.mark.parametrize("end", ["\0", "/" + "a" * 5000, "/\n", "/nothing"])
def test_a_path_that_no_folder_can_have_is_refused(
    gate: AdapterGate, behind: Behind, tiny_adapter: Path, name: str, end: str
):
    status, _ = load(gate, name, f"{tiny_adapter}{end}")
    assert (status, behind.asked) == (400, [])


@pytest.mark.parametrize("body", [b"", b"[]", b"\xff", b'{"lora_name": "a"}', b" " * 70_000])
def test_a_body_that_is_no_question_is_refused(gate: AdapterGate, behind: Behind, body: bytes):
    status, _ = asyncio.run(post(gate, LOAD_PATH, body))
    assert (status, behind.asked) == (400, [])


def test_weights_under_a_name_are_never_exchanged(
    gate: AdapterGate, behind: Behind, tiny_adapter: Path, name: str
):
    status, said = load(gate, name, tiny_adapter, load_inplace=True)
    assert (status, "load_inplace" in said, behind.asked) == (400, True, [])


@pytest.mark.parametrize(
    "path", ["/v1/load_lora_adapter", "/v1/unload_lora_adapter", "/adapters", "/adapters/x"]
)
def test_the_servers_own_ways_in_are_shut(gate: AdapterGate, behind: Behind, path: str):
    status, said = asyncio.run(post(gate, path, b"{}"))
    assert (status, LOAD_PATH in said, behind.asked) == (403, True, [])


def test_everything_else_passes(gate: AdapterGate, behind: Behind):
    asyncio.run(post(gate, "/v1/completions", b"something else"))
    assert behind.asked == [("/v1/completions", b"somethi")]  # as it came, piece by piece
