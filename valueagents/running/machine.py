"""What a run was played with: versions of software."""

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version


def software(packages: Sequence[str]) -> dict[str, str]:
    """The versions of those of the packages that are installed."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
