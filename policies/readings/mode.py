"""The contract of a reading mode: how a model is asked about a view, and how a choice is read from
its answer.
"""

from abc import ABC, abstractmethod
from typing import ClassVar

import msgspec

from valueagents.contracts.decision import Choice
from valueagents.contracts.options import NoOptions
from valueagents.contracts.policy import View
from valueagents.policies.engines import Capability, Engine
from valueagents.policies.prompts import Prompt


class Question(msgspec.Struct, frozen=True):
    """A view as it is put to a model, in a prompt's words, to be answered with an adapter."""

    view: View
    prompt: Prompt
    adapter: str | None = None


class ReadingMode(ABC):
    """A way of asking a model and of reading its answer.

    A class that is registered under `valueagents.readings` is made by `ReadingModeClass(options)`.
    """

    Options: ClassVar[type[msgspec.Struct]] = NoOptions
    """The options: fields with type, bounds and default; `Args:` explains each in a line."""

    needs: tuple[Capability, ...]
    """What the engine must be able to do."""

    prompted: bool = True
    """False if a model is shown the options alone, without task, prompt or situation."""

    def __init__(self, options: msgspec.Struct | None = None) -> None:
        """Keep the options. A subclass may raise ConfigError for those that exclude each other."""
        self.options = options or self.Options()

    @abstractmethod
    def identity(self) -> dict[str, str]:
        """Name, version and options."""

    @abstractmethod
    async def choose(self, engine: Engine, asked: Question) -> Choice:
        """The answer to a view. Raises PolicyError if there is none."""
