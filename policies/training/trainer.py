"""What a Trainer of transformers or trl is given: a display of its steps, checkpoints that are
whole.
"""

import shutil
from pathlib import Path
from typing import Any

from valueagents.running.execution import Progress
from valueagents.running.store import write_atomically

_WHOLE = "whole"


def step_callback(progress: Progress) -> Any:
    """A callback that reports (steps done, 0, all steps) after each step."""
    import transformers

    class Told(transformers.TrainerCallback):  # type: ignore[misc]
        """Reports each step."""

        def on_step_end(self, _args: Any, state: Any, _control: Any, **_: Any) -> None:
            progress(int(state.global_step), 0, int(state.max_steps))

    return Told()


def checkpoint_callback() -> Any:
    """A callback that marks a checkpoint when all its files are written, for `last_checkpoint`."""
    import transformers

    class Marked(transformers.TrainerCallback):  # type: ignore[misc]
        """Marks each checkpoint."""

        def on_save(self, args: Any, state: Any, _control: Any, **_: Any) -> None:
            write_atomically(_checkpoint(Path(args.output_dir), state.global_step) / _WHOLE, b"")

    return Marked()


def last_checkpoint(folder: Path) -> Path | None:
    """The last whole checkpoint. What a kill left half-written is deleted: a Trainer would take it
    and fail.
    """
    whole = []
    for path in folder.glob(_checkpoint(folder, "*").name):
        if (path / _WHOLE).is_file():
            whole.append(path)
        else:
            shutil.rmtree(path)
    return max(whole, key=lambda path: int(path.name.rpartition("-")[2]), default=None)


def _checkpoint(folder: Path, step: int | str) -> Path:
    return folder / f"checkpoint-{step}"
