"""`valueagents study PROFILE --dry-run`: what the study would do and what it could see."""

from pathlib import Path

import msgspec

from valueagents.errors import ConfigError
from valueagents.experiments.studies.design import read_study
from valueagents.experiments.studies.power import ASSUMED, REPLICATES, power_table, power_text
from valueagents.experiments.studies.simulated_study import Noise
from valueagents.experiments.studies.subjects import subjects
from valueagents.running.progress import show_progress
from valueagents.running.sealed import read_sealed


class _Record(msgspec.Struct):
    """What is read of a `study.json`."""

    noise: Noise | None = None


def dry_run(profile: str, noise_from: Path | None, *, replicates: int = REPLICATES) -> str:
    """The table of power as text, no model loaded. Raises ConfigError for a bad design."""
    study = read_study(profile, installed=False)
    noise = ASSUMED if noise_from is None else finished_noise(noise_from)
    trained = len([each for each in subjects(study) if each.training is not None])
    start = f"{profile}: {trained} adapters of {study.base}, seeds {list(study.seeds)}"
    if len(study.targets) < 2:
        return f"{start}\nOne target has no contrast: nothing to give the power of."
    with show_progress("power", "replicates") as progress:
        rows = power_table(study, noise, replicates=replicates, progress=progress)
    return f"{start}\n{power_text(study, rows, noise)}"


def finished_noise(folder: Path) -> Noise:
    """The noise of a finished study. Raises ConfigError if the folder has none, StoreError if its
    file is damaged.
    """
    file = folder / "study.json"
    try:
        found = read_sealed(file, _Record, remedy="finish the study again").noise
    except OSError as error:
        raise ConfigError(f"{file} cannot be read as a study: {error}") from error
    if found is None:
        raise ConfigError(
            f"{file} tells no noise: it takes two seeds and a primary env with probabilities"
        )
    return msgspec.structs.replace(found, source=f"of {folder}")
