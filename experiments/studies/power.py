"""What a study would see: its power by effect, and what more seeds or items buy, by simulation on
the menus of its primary env.

An effect is the share of the probability that moves onto options which serve (or violate) the
target, averaged over the menus that contest it. Power of the primary contrast, and of a single
target after Holm's adjustment over the targets.
"""

from collections.abc import Sequence

import msgspec
import numpy as np

from valueagents.arrays import FloatArray
from valueagents.errors import ConfigError
from valueagents.experiments.studies.design import Study, StudyEnv
from valueagents.experiments.studies.simulated_study import (
    Noise,
    StudyMenus,
    menus_of,
    simulate,
    weights_for,
)
from valueagents.measuring.reading import read_answers
from valueagents.measuring.studies.contrast import holm, primary_weights, target_weights
from valueagents.measuring.studies.crossed import linear
from valueagents.running.execution import Progress
from valueagents.running.start import run

EFFECTS = (0.02, 0.05, 0.10)
REPLICATES = 200
ASSUMED = Noise(training=0.3, side_effects=0.5)
"""Side effects of 0.5 logit an option: the cautious end of what was simulated for the design."""
ALPHA = 0.05


class Power(msgspec.Struct, frozen=True):
    """A row of the table: shares of replicates that call the primary contrast, and a target."""

    what: str
    seeds: int
    items: int
    effect: float
    primary: float | None
    target: float | None


def power_table(
    study: Study, noise: Noise, *, replicates: int = REPLICATES, progress: Progress | None = None
) -> list[Power]:
    """The study as designed, with more seeds, and with twice the items.

    Raises ConfigError for one target, which has no contrast.
    """
    if len(study.targets) < 2:
        raise ConfigError(
            "power is that of a contrast, which needs two targets or more; this study names one"
        )
    primary = next(each for each in study.envs if each.name == study.primary)
    menus = menus_met(study, primary)
    seeds = len(study.seeds)
    settings = [
        ("as designed", seeds, menus),
        (f"{_more(seeds)} seeds", _more(seeds), menus),
        ("twice the items", seeds, doubled(menus)),
    ]
    rows: list[Power] = []
    whole = len(settings) * len(EFFECTS) * replicates
    for what, count, on in settings:
        for effect in EFFECTS:
            weights = weights_for(on, effect)
            called = []
            for replicate in range(replicates if count > 1 else 0):
                rng = np.random.default_rng([study.seed, replicate])
                cells = simulate(rng, on, seeds=count, noise=noise, weights=weights)
                called.append(calls(cells, on))
                if progress is not None:
                    progress(len(rows) * replicates + replicate + 1, 0, whole)
            rows.append(_row(what, count, on, effect, called))
    return rows


def calls(cells: FloatArray, menus: StudyMenus) -> tuple[float, float]:
    """1 or 0 for the primary contrast; the share of targets called after adjustment (NaN for fewer
    than three).
    """
    targets = cells.shape[0]
    whole = linear(cells, menus.cluster, primary_weights(targets)).tested().p
    primary = float(whole is not None and whole <= ALPHA)
    if targets < 3:
        return primary, float("nan")
    each = [
        linear(cells, menus.cluster, target_weights(targets, t)).tested().p for t in range(targets)
    ]
    return primary, float(np.mean([p is not None and p <= ALPHA for p in holm(each)]))


def menus_met(study: Study, study_env: StudyEnv) -> StudyMenus:
    """The menus of an env as a random policy meets them: no model is asked."""
    played = run(
        study_env.env,
        "random",
        episodes=study_env.episodes,
        seed=study.seed,
        env_options=study_env.env_options,
    )
    answers = read_answers(played).detached()
    if study_env.replay is not None:
        _, first = np.unique(np.asarray(answers.shown.to_pylist()), return_index=True)
        answers = answers.select(np.sort(first)[: study_env.replay])
    return menus_of(answers, study.targets)


def doubled(menus: StudyMenus) -> StudyMenus:
    """Twice the items, of the same kinds."""
    return StudyMenus(
        np.vstack([menus.x, menus.x]),
        np.concatenate([menus.start, menus.start + len(menus.x)]),
        np.concatenate([menus.cluster, menus.cluster + menus.cluster.max() + 1]),
    )


def power_text(study: Study, rows: Sequence[Power], noise: Noise) -> str:
    """The table as lines of text, the noise named first."""
    lines = [
        f"Power at {ALPHA:g}, {len(study.targets)} targets, env {study.primary!r}; noise"
        f" {noise.source}: sd of an option between trainings {noise.training:.2g} logit, side"
        f" effects {noise.side_effects:.2g}, habits {noise.position:.2g} and"
        f" {noise.all_values:.2g}, strength of a training {100 * noise.strength:.0f} %",
        f"{'':18}{'seeds':>6}{'items':>7}{'effect':>8}{'primary':>9}{'a target, adjusted':>20}",
    ]
    for row in rows:
        lines.append(
            f"{row.what:18}{row.seeds:6}{row.items:7}{row.effect:8.2f}"
            f"{_share(row.primary):>9}{_share(row.target):>20}"
        )
    if len(study.seeds) < 2:
        lines.append("One seed has no test: its page says 'these adapters only'.")
    if len(study.targets) < 3:
        lines.append("Two targets have one contrast together, none for each.")
    return "\n".join(lines)


def _more(seeds: int) -> int:
    return 6 if seeds < 6 else 2 * seeds


def _row(
    what: str, seeds: int, menus: StudyMenus, effect: float, called: Sequence[tuple[float, float]]
) -> Power:
    items = int(menus.contested.any(axis=1).sum())
    if not called:
        return Power(what, seeds, items, effect, None, None)
    primary, target = np.mean(called, axis=0).tolist()
    return Power(what, seeds, items, effect, primary, None if np.isnan(target) else target)


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
