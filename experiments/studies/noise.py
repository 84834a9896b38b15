"""The noise of a finished study, from the probabilities of its adapters and controls: what the
power of the next one may be computed with.

l is the log ratio of an adapter's probability of an option to its control's, centred on the menu,
free of what is linear in the target's x. The variance of l between seeds is that of two trainings;
its covariance between different seeds is what adapter and control do alike in all seeds.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow.compute as pc

from valueagents.arrays import FloatArray, IntArray
from valueagents.experiments.studies.simulated_study import Noise
from valueagents.measuring.answers import Answers
from valueagents.measuring.columns import codes_of

_SMALLEST_P = 1e-12


def noise_from(
    adapters: Sequence[Sequence[Answers]],
    controls: Sequence[Answers],
    targets: Sequence[str],
    *,
    source: str,
) -> Noise | None:
    """The sd of training and of side effects in logits of an option; habits stay as assumed.

    None with one seed, without probabilities, or if the policies did not meet the same menus.
    """
    flat = [each for row in (*adapters, controls) for each in row]
    if len(controls) < 2 or not all(each.knows_p.all() for each in flat):
        return None
    levels = [_log_p(each) for each in flat]
    keys = levels[0][0]
    if any(each[0] != keys for each in levels[1:]):
        return None
    _, _, x, start = levels[0]
    logs = np.stack([each[1] for each in levels])
    by_adapter = logs.reshape(len(adapters) + 1, len(controls), -1)
    ratios = by_adapter[:-1] - by_adapter[-1]  # (T, S, N)
    taxonomy = flat[0].taxonomy
    free = np.stack(
        [
            _free_of(each, np.nan_to_num(x[:, taxonomy.index(target)]), start)
            for each, target in zip(ratios, targets, strict=True)
        ]
    )
    degrees = len(targets) * (free.shape[2] - len(start))
    seeds = len(controls)
    between = float(free.var(axis=1, ddof=1).sum()) / degrees
    together = free.sum(axis=1) ** 2 - (free**2).sum(axis=1)
    alike = float(together.sum()) / (seeds * (seeds - 1)) / degrees
    return Noise(
        training=float(np.sqrt(between / 2)),
        side_effects=float(np.sqrt(max(0.0, alike) / 2)),
        source=source,
    )


def _log_p(answers: Answers) -> tuple[list[tuple[str, str]], FloatArray, FloatArray, IntArray]:
    """Every option by situation and id: its key, log p, x, and the first row of each menu."""
    shown = np.asarray(answers.shown.to_pylist())
    _, first = np.unique(shown, return_index=True)
    met = answers.select(first)
    codes, names = codes_of(pc.list_flatten(met.columns.read("option_ids")))
    ids = np.asarray(names.to_pylist())[codes]
    order = np.lexsort((ids, met.menu_of))
    situations = np.asarray(met.shown.to_pylist())[met.menu_of]
    keys = list(zip(situations[order].tolist(), ids[order].tolist(), strict=True))
    return keys, np.log(np.maximum(met.p[order], _SMALLEST_P)), met.x[order], met.start


def _free_of(values: FloatArray, x: FloatArray, start: IntArray) -> FloatArray:
    """(S, N) values centred on their menus, less what is linear in x (N,) there."""
    centred, along = _centred(values, start), _centred(x[None], start)[0]
    scale = float(along @ along)
    left: FloatArray = centred - np.outer(centred @ along, along) / scale if scale > 0 else centred
    return left


def _centred(values: FloatArray, start: IntArray) -> FloatArray:
    size = np.diff(np.append(start, values.shape[-1]))
    means = np.add.reduceat(values, start, axis=-1) / size
    left: FloatArray = values - np.repeat(means, size, axis=-1)
    return left
