"""An engine that loads a model's files itself: which model and which adapters, found and checked
when first needed.
"""

from collections.abc import Sequence

from valueagents.policies.adapters import Adapter, read_adapter
from valueagents.policies.engines.engine import Engine
from valueagents.policies.models import ModelFiles, find_model


class LocalEngine(Engine):
    """Knows its model and adapters by content.

    Args:
        target: `smollm2-135m` (embedded), a folder, or a hub id.
        revision: branch, tag or commit of a hub id.
        adapters: PEFT folders or hub ids; a request names one by its content hash
            (`self.adapters`).
    """

    def __init__(self, target: str, revision: str | None, adapters: Sequence[str]) -> None:
        self.model_name = target
        self._revision = revision
        self._files: ModelFiles | None = None
        self._adapter_folders = tuple(adapters)
        self._adapters: tuple[Adapter, ...] | None = None

    @property
    def files(self) -> ModelFiles:
        """The model's files, found (and for a hub id fetched) when first needed."""
        self._files = self._files or find_model(self.model_name, self._revision)
        return self._files

    @property
    def adapters(self) -> tuple[Adapter, ...]:
        """The adapters in the order in which they were named, checked when first needed."""
        if self._adapters is None:
            self._adapters = tuple(
                read_adapter(folder, self.files) for folder in self._adapter_folders
            )
        return self._adapters
