"""What a run was played with: versions of software, processors and accelerators."""

import os
import platform
import shutil
import subprocess
from collections import Counter
from collections.abc import Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

_ASKED = "--query-gpu=name,memory.total,driver_version"
_ANSWERS_WITHIN_S = 10.0


def machine() -> dict[str, Any]:
    """The platform, its processors, its accelerators and, where the environment names some of
    them (`CUDA_VISIBLE_DEVICES`), which those are.

    Of a served model that is the client's machine.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return {
        "platform": platform.platform(),
        "processors": os.cpu_count(),
        "accelerators": list(accelerators()),
        **({} if visible is None else {"visible_accelerators": visible}),
    }


@cache
def accelerators() -> tuple[dict[str, Any], ...]:
    """Each kind of accelerator of this machine with its memory, driver and count, as NVIDIA's
    driver tells; none where there is no such driver. Asked once in a process.
    """
    program = shutil.which("nvidia-smi")
    if program is None:
        return ()
    words = [program, _ASKED, "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(  # noqa: S603 – the words are ours
            words, capture_output=True, text=True, timeout=_ANSWERS_WITHIN_S, check=True
        )
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return ()
    rows = [tuple(map(str.strip, line.split(","))) for line in done.stdout.splitlines()]
    kinds = Counter(row for row in rows if len(row) == _ASKED.count(",") + 1)
    return tuple(
        {
            "name": name,
            "memory_mib": int(memory) if memory.isdecimal() else None,
            "driver": driver,
            "count": count,
        }
        for (name, memory, driver), count in kinds.items()
    )


def software(packages: Sequence[str]) -> dict[str, str]:
    """The versions of those of the packages that are installed."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
