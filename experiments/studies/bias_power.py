"""What a study of bias could see: power by difference, on its benchmarks and at published sizes.

A difference of two policies in bias, of items that both answered, is tested over templates at the
level that Holm's first step leaves. Power is that of a t test (shifted t), whose error follows
from the sd of an item's difference and the correlation of items of one template: error² = sd² (1 +
(m − 1) r) / N, with N items in C templates, m = N/C (Kish 1965, 8.1). It holds for a bias that is
clear of 0: whose bias is nearer to 0 is otherwise not told at all.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path

import msgspec
import numpy as np
from scipy import stats

from valueagents.contracts.plugins import make_env
from valueagents.errors import ConfigError
from valueagents.experiments.studies.bias_design import BiasStudy, read_bias_study
from valueagents.experiments.studies.bias_effects import LEVEL
from valueagents.experiments.studies.bias_training import training_cost
from valueagents.measuring.studies.bias import BiasTable

EFFECTS = (0.02, 0.05, 0.10, 0.20)


class BiasNoise(msgspec.Struct, frozen=True):
    """Sd of the difference of two policies in an item's bias, and how far such differences of one
    template are alike.
    """

    sd: float
    correlation: float
    source: str = "assumed"


ASSUMED = {True: BiasNoise(0.6, 0.2), False: BiasNoise(0.7, 0.0)}
"""Of questions, of pairs: two policies whose answers, −1, 0 or 1, agree in about two of three
items; two whose likelier sentence, a half up or down, differs in every second pair.
"""

PUBLISHED = (
    ("BBQ, ambiguous", True, 29_246, 325),
    ("MBBQ, a language, ambiguous", True, 5_044, 98),
    ("KoBBQ, ambiguous", True, 38_024, 268),
    ("GG-BBQ, subset I, ambiguous", True, 216, 18),
    ("CrowS-Pairs", False, 1_508, 1_508),
    ("parallel gender pairs", False, 212, 212),
)
"""Sets, whether of questions, items that count for the bias in a language, templates: BBQ and KoBBQ
by their papers, the others as read here without what is left out.
"""


class _BiasRecord(msgspec.Struct):
    """What is read of a `bias.json`."""

    noise: dict[str, BiasNoise]


def bias_power(items: int, templates: int, noise: BiasNoise, *, effect: float, tests: int) -> float:
    """The chance that a difference of `effect` is called at LEVEL / `tests`."""
    if templates < 2:
        return 0.0
    inflated = 1 + (items / templates - 1) * noise.correlation
    error = noise.sd * np.sqrt(max(inflated, 0.0) / items)
    df = templates - 1
    reach = stats.t.ppf(1 - LEVEL / tests / 2, df)
    shift = effect / error
    return float(stats.t.sf(reach - shift, df) + stats.t.cdf(-reach - shift, df))


def noise_of(tables: Mapping[str, Sequence[BiasTable]]) -> dict[str, BiasNoise]:
    """The noise of a finished study, by benchmark, from all pairs of its policies."""
    found = {}
    for benchmark, of_languages in tables.items():
        variances, shared = [], []
        for table in of_languages:
            if "bias" not in table.measures:
                continue
            values = table.measures["bias"]
            counted = values.cell >= 0
            _, codes = np.unique(table.template[counted], return_inverse=True)
            for first, second in combinations(range(len(table.policies)), 2):
                difference = (values.y[first] - values.y[second])[counted]
                left = difference - difference.mean()
                variances.append(float(left.var()))
                sums = np.bincount(codes, weights=left)
                sizes = np.bincount(codes)
                pairs = (sizes * (sizes - 1)).sum()
                own = np.bincount(codes, weights=left**2)
                shared.append(float((sums**2 - own).sum() / pairs) if pairs else 0.0)
        variance = float(np.mean(variances)) if variances else 0.0
        if variance > 0:
            correlation = max(0.0, float(np.mean(shared)) / variance)
            found[benchmark] = BiasNoise(float(np.sqrt(variance)), correlation, "measured")
    return found


def bias_dry_run(design: str, noise_from: Path | None) -> str:
    """The table of power as text; no model is loaded. Raises ConfigError for a bad design."""
    study = read_bias_study(design, at_hand=False)
    cost = training_cost(study)
    known = {} if noise_from is None else finished_bias_noise(noise_from)
    tests = _tests(study)
    rows = [*_own_sizes(study), *((*each, None) for each in PUBLISHED)]
    lines = [
        f"{design}: {len(study.policies)} policies, {len(study.benchmarks)} benchmarks; power of a"
        f" difference in bias in one language, at {LEVEL:g} over {tests} tests (Holm's first step)",
        f"{'':34}{'items':>8}{'templates':>11}{'sd':>6}{'r':>6}"
        + "".join(f"{effect:>8.2f}" for effect in EFFECTS),
    ]
    for what, questions, items, templates, benchmark in rows:
        noise = known.get(benchmark or "", ASSUMED[questions])
        powers = (
            bias_power(items, templates, noise, effect=effect, tests=tests) for effect in EFFECTS
        )
        lines.append(
            f"{what[:33]:34}{items:>8,}{templates:>11,}{noise.sd:>6.2f}{noise.correlation:>6.2f}"
            + "".join(f"{power:>8.2f}" for power in powers)
        )
    lines.append(
        "sd, r: of an item's difference and within templates, "
        + ("measured where the study has the benchmark" if known else "assumed")
        + ". Only a bias that is clear of 0 can be told to be larger or smaller."
    )
    return "\n".join(lines if cost is None else [cost, *lines])


def finished_bias_noise(folder: Path) -> dict[str, BiasNoise]:
    """The noise of a finished study by benchmark. Raises ConfigError if the folder has none."""
    file = folder / "bias.json"
    try:
        return msgspec.json.decode(file.read_bytes(), type=_BiasRecord).noise
    except (OSError, msgspec.DecodeError, msgspec.ValidationError) as error:
        raise ConfigError(f"{file} cannot be read as a study of bias: {error}") from error


def _tests(study: BiasStudy) -> int:
    """How many claims about bias there are: the languages with both kinds, and all together."""
    count = 0
    for benchmark in study.benchmarks:
        both = [
            language
            for language in benchmark.languages
            if len({policy.multilingual for policy in study.speaking(language)}) > 1
        ]
        count += len(both) + (len(both) > 1)
    return max(1, count)


def _own_sizes(study: BiasStudy) -> list[tuple[str, bool, int, int, str | None]]:
    """The benchmarks of the study in their first language, where the files are here."""
    found: list[tuple[str, bool, int, int, str | None]] = []
    for benchmark in study.benchmarks:
        env = benchmark.env(benchmark.languages[0])
        try:
            made = make_env(env.env, **env.env_options)
        except ConfigError:
            continue
        items = made.bank.items  # type: ignore[attr-defined]
        questions = "context" in items[0].factors
        counted = [each for each in items if each.factors.get("context") != "disambiguated"]
        if counted:
            templates = len({each.cluster or each.id for each in counted})
            name = f"{benchmark.name} {benchmark.languages[0]}"
            found.append((name, questions, len(counted), templates, benchmark.name))
    return found
