"""Every installed ValueEnv is known to Gymnasium by its id after `import valueagents`, without
importing Gymnasium.

Gymnasium takes a tenth of a second to import, which `valueagents --help` does not have. So the ids
are registered at once where Gymnasium is imported already, and else in the moment when it is.
"""

import importlib.util
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

_GYMNASIUM = "gymnasium"


def register_with_gymnasium() -> None:
    """Register the ids now, or as soon as Gymnasium is imported."""
    if _GYMNASIUM in sys.modules:
        _register()
    elif not any(isinstance(finder, _Watcher) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Watcher())


def _register() -> None:
    from importlib.metadata import entry_points  # takes longer than all else of this package

    import gymnasium

    for point in entry_points(group="valueagents.envs"):
        if point.name not in gymnasium.registry:
            gymnasium.register(id=point.name, entry_point=point.value, order_enforce=False)


class _Watcher:
    """Finds nothing itself: lets the real finder load Gymnasium, then registers the ids, once."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Gymnasium's own spec, whose loading ends with the registration; None for every other
        module.
        """
        if fullname != _GYMNASIUM:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is None or spec.loader is None:
            return None
        load = spec.loader.exec_module

        def load_and_register(module: ModuleType) -> None:
            load(module)
            _register()

        spec.loader.exec_module = load_and_register  # type: ignore[method-assign]
        return spec
