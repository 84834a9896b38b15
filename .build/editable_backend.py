"""setuptools' build backend, but an editable install is found before a folder that bears the
package's name.

Python started in the folder above a clone finds the clone, `valueagents/`, a folder without
`__init__.py`, and takes it for an empty namespace package, because setuptools puts the finder of an
editable install behind Python's own. Here it is put in front, and gives way to what Python finds
with code of its own: an installation that `PYTHONPATH` names comes before the editable one, as it
does with any package.
"""

from pathlib import Path
from typing import Any

from setuptools import build_meta
from setuptools.build_meta import *  # noqa: F403
from wheel.wheelfile import WheelFile

_BEHIND = b"sys.meta_path.append(_EditableFinder)"
_BEFORE = b"sys.meta_path.insert(0, _BeforeNamespaces)"
_FINDER = b"""

class _BeforeNamespaces(_EditableFinder):
    @classmethod
    def find_spec(cls, fullname, path=None, target=None):
        if fullname.partition(".")[0] not in MAPPING:
            return None
        found = PathFinder.find_spec(fullname, path, target)
        if found is not None and found.origin is not None:  # a namespace package has no origin
            return found
        return super().find_spec(fullname, path, target)
"""


def build_editable(
    wheel_directory: str, config_settings: Any = None, metadata_directory: str | None = None
) -> str:
    """An editable wheel is in `wheel_directory`; its file name."""
    name: str = build_meta.build_editable(wheel_directory, config_settings, metadata_directory)
    path = Path(wheel_directory, name)
    with WheelFile(path) as made:
        content = {
            info.filename: made.read(info)
            for info in made.infolist()
            if info.filename != made.record_path
        }
    path.unlink()
    with WheelFile(path, "w") as mended:
        for file, text in content.items():
            if _BEHIND in text:
                text = text.replace(_BEHIND, _BEFORE) + _FINDER
            mended.writestr(file, text)
    return name
