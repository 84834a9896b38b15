"""An engine that counts what is loaded and asked, and answers at once."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import msgspec
import pytest

from valueagents.errors import PolicyError
from valueagents.policies.engines import (
    Engine,
    GenerateReply,
    GenerateRequest,
    ScoreReply,
    ScoreRequest,
)
from valueagents.policies.engines.making import ENGINES


class _Adapter(msgspec.Struct, frozen=True):
    name: str


class CountingEngine(Engine):
    """Says who is loaded, freed and asked, in order; the target `broken` cannot be loaded, and
    after `patience` questions none is answered. A question takes `took_s`;
    every continuation has `log_p`.
    """

    class Options(msgspec.Struct, frozen=True):
        """How fast."""

        speed: int = 1

    can = frozenset({"score", "adapters"})
    live = 2
    events: ClassVar[list[str]] = []
    asked: ClassVar[list[str]] = []
    patience: ClassVar[float] = float("inf")
    took_s: ClassVar[float] = 0.0
    log_p: ClassVar[float] = -1.0

    def __init__(self, target: str, options: Options, adapters: Sequence[str] = ()) -> None:
        self.target, self.given = target, adapters

    @property
    def adapters(self) -> tuple[_Adapter, ...]:
        return tuple(_Adapter(f"hash of {each}") for each in self.given)

    def identity(self) -> dict[str, str]:
        return {"engine": "counting/1", "model": self.target}

    async def __aenter__(self):
        if self.target == "broken":
            raise PolicyError("no such weights")
        self.events.append(f"load {self.target} with {', '.join(self.given)}")
        return self

    async def __aexit__(self, *_: object) -> None:
        self.events.append(f"free {self.target}")

    async def score(self, request: ScoreRequest) -> ScoreReply:
        self.asked.append(request.adapter or "base")
        if len(self.asked) > self.patience:
            raise PolicyError("no more")
        await asyncio.sleep(self.took_s)
        count = len(request.continuations)
        return ScoreReply(((self.log_p,) * count,) * len(request.chats), (1,) * count, 1, 0)

    async def generate(self, request: GenerateRequest) -> GenerateReply:
        raise NotImplementedError


def installed(site: Path, monkeypatch: pytest.MonkeyPatch) -> type[CountingEngine]:
    """The engine, found in the folder by its metadata as `counting`; nothing counted yet."""
    info = site / "counting-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: counting\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[{ENGINES}]\ncounting = {__name__}:CountingEngine\n")
    monkeypatch.syspath_prepend(site)
    start = {"events": [], "asked": [], "patience": float("inf"), "took_s": 0.0, "log_p": -1.0}
    for name, value in start.items():
        monkeypatch.setattr(CountingEngine, name, value)
    return CountingEngine


def items(file: Path, thing: str, count: int = 4) -> Path:
    """A bank of short dilemmas about a thing."""
    header = {
        "format": "valueagents-items",
        "version": 1,
        "taxonomy": "schwartz20",
        "task": "Decide what you do.",
        "provenance": "a test",
        "scaling": "sign",
    }
    dilemmas = [
        {
            "id": f"{thing}-{k}",
            "text": f"You find {thing} number {k}.",
            "options": [
                {"id": "a", "text": f"Give {thing} {k} back.", "values": {"BEC": 1, "HED": -1}},
                {"id": "b", "text": "Keep it.", "values": {"HED": 1, "BEC": -1}},
            ],
        }
        for k in range(count)
    ]
    file.write_text("".join(json.dumps(line) + "\n" for line in (header, *dilemmas)))
    return file
