"""Mass: the probability that a model gave to the offered answers together, and the gate of scores
that goes by it.

Probabilities over a menu are normalised; where the model would have said something else they tell
what it prefers among answers that it does not give. The gate is for readings whose answers could
exhaust what is said: letters, digits and verdicts. For likelihoods of free texts the mass is not
defined (there is always another text).
"""

from collections.abc import Sequence

import msgspec
import numpy as np
import pyarrow.compute as pc

from valueagents.measuring.answers import Answers

WARNING, REFUSAL = 0.5, 0.05
"""Mean mass under which scores are warned of, and refused unless asked for."""

_LONGEST_CLOSED = 3
"""Characters of a digit or a verdict ("NTA"): runs of likelihood/1, which recorded a mass for every
menu, offered all that could be said where no option was longer.
"""


class Mass(msgspec.Struct, frozen=True):
    """Over the `decisions` in which the answers could exhaust what is said; `low` of them are under
    WARNING.
    """

    decisions: int
    mean: float
    low: int

    @property
    def refusal(self) -> str | None:
        """Why scores are refused; None if they are not."""
        if self.mean >= REFUSAL:
            return None
        return (
            f"the offered answers had {self.mean:.2g} of the model's probability, under {REFUSAL}:"
            " it would have said something else; ask otherwise (another prompt or reading), or ask"
            " for the scores with --low-mass"
        )

    @property
    def warning(self) -> str | None:
        """What to warn of; None if there is nothing."""
        if self.mean >= WARNING:
            return None
        return (
            f"the offered answers had {self.mean:.2g} of the model's probability on average, under"
            f" {WARNING}"
        )


def mass_cautions(several: Sequence[Answers]) -> tuple[str | None, list[str]]:
    """Why what is made of several runs is refused (None if it is not), and what to warn of; each
    names its run.
    """
    refusal, warnings = None, []
    for answers in several:
        mass = mass_of(answers)
        if mass is None or answers.run is None or mass.warning is None:
            continue
        where = answers.run.name
        warnings.append(f"{where}: {mass.warning}")
        if refusal is None and mass.refusal is not None:
            refusal = f"{where}: {mass.refusal}"
    return refusal, warnings


def mass_of(answers: Answers) -> Mass | None:
    """The mass of a run's answers; None where its reading does not define it, or nothing tells
    it.
    """
    if answers.run is None or "mass" not in answers.columns.names() or not len(answers.size):
        return None
    reading = answers.run.header.policy_identity.get("reading", "")
    told = reading.startswith(("label/", "likelihood/", "top/", "sample/"))
    closed = np.full(len(answers.size), told)
    if reading == "likelihood/1":
        _, longest = answers.extremes(answers.characters[:, None])
        closed = longest[:, 0] <= _LONGEST_CLOSED
    known = pc.fill_null(answers.columns.read("mass"), float("nan")).to_numpy(zero_copy_only=False)
    found = known[closed & ~np.isnan(known)]
    if not len(found):
        return None
    return Mass(len(found), float(found.mean()), int((found < WARNING).sum()))
