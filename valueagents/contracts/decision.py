"""The one record everything here is made of: a decision over a menu whose every option carries its
value annotation.

All records are frozen and compare by value. Their JSON form (`to_json`, `episode_from_json`) is
what a run directory stores, one episode a line, with `SCHEMA` in each; unknown or missing fields
are errors, never guesses.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from valueagents.errors import NOT_JSON, StoreError, unknown_name
from valueagents.files.covariates import (
    Covariate as Covariate,
)  # item files declare covariates and factors, too, and know no contracts
from valueagents.files.factors import Factor as Factor
from valueagents.identity import content_hash
from valueagents.taxonomy import Taxonomy

SCHEMA = 2
"""Of the records and of the run directory; `running/upgrade.py` says what was added to schema 1."""

HowRead = Literal["drawn", "argmax", "parsed", "repaired", "refused", "abstained", "failed"]
"""How a reply became a choice: drawn from or the argmax of its probabilities; parsed from text;
repaired text;
refused by the policy; abstained, by an offered "none of these"; failed = unreadable. Only the
first four name an option.
"""


Asks = Literal["choose", "rate", "judge", "answer", "compare"]
"""What an env asks at its menus: which option is taken; which point of a scale fits a statement;
which verdict is given on what somebody did; which answer a question has; which of several sentences
is the likelier one.
"""


class _Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Frozen, compared by value, strict about its fields, silent about defaults on disk."""


class Option(_Record, frozen=True):
    """One option of a menu. `id` is stable under shuffling and never shown; `text` is what the
    agent reads.
    """

    id: str
    text: str


Menu = tuple[Option, ...]
"""The options in shown order."""


class Event(_Record, frozen=True):
    """A raw value event that a step caused: an amount in the source's own unit, before any
    scaling.
    """

    axis: str
    amount: float
    source: str


class Annotation(_Record, frozen=True):
    """What each option of a menu does to the axes of a taxonomy; recorded, never shown to a policy.

    `values[k]` belongs to the k-th shown option: axis id -> x in [-1, 1], promotes +, violates -.
    An axis that is absent was **judged neutral** (0); an axis that is None was **not annotated**
    and is left out of that decision. `provenance` says who judged; `scaling` how raw judgements
    became numbers in [-1, 1]. `covariates` are what else of the options may sway a choice, on
    covariates that the env declares: name -> a number for each shown option, None = unknown.
    """

    taxonomy: str
    values: tuple[dict[str, float | None], ...]
    provenance: str
    scaling: str
    covariates: dict[str, tuple[float | None, ...]] = {}

    def array(self, taxonomy: Taxonomy) -> npt.NDArray[np.float64]:
        """The (K, V) array: 0 neutral, NaN not annotated.

        Raises StoreError for a foreign axis or |x| > 1.
        """
        if self.taxonomy != taxonomy.name:
            raise StoreError(
                f"annotation is on taxonomy {self.taxonomy!r}, not on {taxonomy.name!r}"
            )
        x = np.zeros((len(self.values), len(taxonomy.axes)))
        column = {axis: i for i, axis in enumerate(taxonomy.axis_ids)}
        for k, option in enumerate(self.values):
            for axis, value in option.items():
                if axis not in column:
                    raise StoreError(unknown_name(f"axis of {taxonomy.name}", axis, column))
                if value is not None and not -1.0 <= value <= 1.0:
                    raise StoreError(
                        f"annotation of option {k} on {axis} is {value}, outside [-1, 1]"
                    )
                x[k, column[axis]] = np.nan if value is None else value
        return x


class Choice(_Record, frozen=True):
    """What a policy answered.

    `option` is an option id, or None where the reply named none. `probabilities` are over the menu
    in shown order (None where the policy has none) and sum to 1. `position_probabilities` is the
    mean probability of the k-th *listed* place over the orders in which the policy listed the
    options: its departure from 1/K is position bias. `mass` is the probability that the model gave
    to all options together before they were normalised. In an env of free text `text` is what was
    said; the env tells which option it came to, and the rollout enters it. `raw` is the whole reply
    of a model that speaks, `parsed_by` the rule that read it. Tokens: `prompt_tokens` were asked
    about, of which `cached_tokens` were not computed again. `dropped_turns` of the transcript were
    left out of the prompt. `attempts` counts the tries that the answer took, `replayed` says that
    it came from a cache of earlier replies. `latency_s` is from question to answer, of which
    `queue_s` waiting.

    `prompt` is the id of the prompt that was asked in. `neither` is the probability of an offered
    "none of these", which stands outside the menu (None = it was not offered); `probabilities` are
    then over the menu alone. `beside` holds the probabilities that other ways of reading the same
    answer give, by name.

    `unseen` bounds what `probabilities` may be off by (in total variation) where a server shows
    only the most probable tokens; `samples` is the number of replies of which they are the shares
    (None: they are the model's own).
    """

    option: str | None
    reading: HowRead
    probabilities: tuple[float, ...] | None = None
    position_probabilities: tuple[float, ...] | None = None
    mass: float | None = None
    raw: str | None = None
    finish_reason: str | None = None
    prompt_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    dropped_turns: int = 0
    latency_s: float = 0.0
    queue_s: float = 0.0
    attempts: int = 1
    replayed: bool = False
    text: str | None = None
    parsed_by: str | None = None
    prompt: str | None = None
    neither: float | None = None
    beside: dict[str, tuple[float, ...]] = {}
    unseen: float | None = None
    samples: int | None = None


class Decision(_Record, frozen=True):
    """One step: what was new to see, what could be done, what was done, and what came of it.

    `observation` is the text since the step before, not the whole transcript. `invalid` is why the
    env refused the choice (None = accepted). `reward` and `events` are the consequences of this
    step; `folded` names the places of what was passed over within it because it was no decision, as
    the end of a page is none. `factors` are the levels of the menu on the factors that the env
    declares: name -> level. `lost_workers` of the env were lost, and their work done again, since
    the decision before or, for the first, since the episode began. `cut_options` of the menu there
    was no room to show.
    """

    observation: str
    menu: Menu
    choice: Choice
    annotation: Annotation | None = None
    invalid: str | None = None
    reward: float = 0.0
    events: tuple[Event, ...] = ()
    factors: dict[str, str] = {}
    lost_workers: int = 0
    folded: tuple[str, ...] = ()
    cut_options: int = 0

    @property
    def chosen(self) -> int | None:
        """The index of the chosen option in shown order; None where the reply named no option of
        the menu.
        """
        if self.invalid is not None or self.choice.option is None:
            return None
        return next(
            (k for k, option in enumerate(self.menu) if option.id == self.choice.option), None
        )


class Episode(_Record, frozen=True, omit_defaults=False):
    """A finished episode. `identity` says which (`running/rollout.py`); `cluster` what it is
    exchangeable with.

    `situation` is the env's id of the item played (None for envs that enumerate none), `repetition`
    counts how often the run has met it before, `final_observation` is the text after the last
    decision. `shown` is the situation hash of the first decision of an episode that began in the
    middle of another (a replay); else the decisions tell it.
    """

    identity: str
    situation: str | None
    repetition: int
    env_seed: int
    cluster: str
    decisions: tuple[Decision, ...]
    outcome: Literal["terminated", "truncated"]
    final_observation: str = ""
    attempt: int = 1
    duration_s: float = 0.0
    shown: str | None = None
    schema: int = SCHEMA


class Failure(_Record, frozen=True, omit_defaults=False):
    """An episode that did not finish: the class and message of the error, at which decision and
    attempt.
    """

    identity: str
    situation: str | None
    repetition: int
    error: str
    message: str
    step: int
    attempt: int
    schema: int = SCHEMA


_COUNTS = ("prompt_tokens", "cached_tokens", "output_tokens", "dropped_turns", "attempts")
_MOST_COUNTED = 2**31 - 1
_ENCODER = msgspec.json.Encoder()
_EPISODE = msgspec.json.Decoder(Episode)
_FAILURE = msgspec.json.Decoder(Failure)


def to_json(record: Episode | Failure) -> bytes:
    """One line of JSON without its newline."""
    return _ENCODER.encode(record)


def episode_from_json(
    line: bytes, *, upgrade: Callable[[dict[str, Any]], dict[str, Any]] | None = None
) -> Episode:
    """The episode of a stored line. Raises StoreError if it is malformed or of another schema.

    `upgrade` turns the decoded JSON of an older schema into that of this one; without it an older
    episode is refused. A line of this schema is decoded once and `upgrade` is not called.
    """
    try:
        episode = _EPISODE.decode(line)
        if upgrade is not None and episode.schema < SCHEMA:
            episode = msgspec.convert(upgrade(msgspec.json.decode(line)), Episode)
    except NOT_JSON as error:
        raise StoreError(f"not an episode record: {error}") from error
    if episode.schema != SCHEMA:
        raise StoreError(
            f"episode has schema {episode.schema}, this version reads {SCHEMA}; use the version"
            " that wrote it"
        )
    return episode


def check_episode(episode: Episode, taxonomy: Taxonomy) -> None:
    """Raise StoreError or ConfigError if it could not be read or scored again.

    That is where it holds NaN, half a character, an unknown axis, or a count that does not fit the
    table of a run.
    """
    for decision in episode.decisions:
        for name in _COUNTS:
            count = getattr(decision.choice, name)
            if not 0 <= count <= _MOST_COUNTED:
                raise StoreError(
                    f"{name} of a choice is {count}, not a count from 0 to {_MOST_COUNTED:,}"
                )
        for event in decision.events:
            taxonomy.index(event.axis)
        annotation = decision.annotation
        if annotation is not None and len(annotation.array(taxonomy)) != len(decision.menu):
            raise StoreError(
                f"annotation of {len(annotation.values)} options on a menu of {len(decision.menu)}"
            )
    try:
        same = episode_from_json(to_json(episode)) == episode
    except UnicodeEncodeError as error:
        raise StoreError(f"a text of the episode is not Unicode: {error}") from error
    if not same:
        raise StoreError(
            "the episode changes when it is written and read: it holds something that JSON cannot"
        )


def failure_from_json(line: bytes) -> Failure:
    """The failure of a stored line. Raises StoreError if it is malformed."""
    try:
        return _FAILURE.decode(line)
    except NOT_JSON as error:
        raise StoreError(f"not a failure record: {error}") from error


def menu_hash(menu: Menu) -> str:
    """Of the options' texts, their order and all else aside."""
    return content_hash(sorted(option.text for option in menu))


def shown_hash(task: str, decisions: Sequence[Decision]) -> str:
    """The situation of the last decision: the hash of everything shown until then, the order of
    options aside.

    Two policies are paired where this is equal, whatever order each was shown.
    """
    history = [(d.observation, d.choice.option) for d in decisions[:-1]]
    last = decisions[-1]
    return content_hash(task, history, last.observation, sorted((o.id, o.text) for o in last.menu))


def situation_hash(task: str, episode: Episode, step: int) -> str:
    """The `shown_hash` of a decision of an episode; one that began in the middle of another says
    its first.
    """
    if episode.shown is None:
        return shown_hash(task, episode.decisions[: step + 1])
    if step == 0:
        return episode.shown
    return content_hash(episode.shown, shown_hash(task, episode.decisions[1 : step + 1]))
