"""`train_choices`: an adapter that takes what serves or violates a value, learned from annotated
menus.

It is the positive control of a study: an adapter that was shown the very behaviour. If its held-out
menus do not move, the measurement or the training is at fault, and nothing that a survey-trained
adapter leaves unmoved says anything. Rows are menus, put as the reading *likelihood* puts them, and
the loss is of the choice (`losses.menu_loss`).
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, get_args

import msgspec
import numpy as np

from valueagents.contracts.decision import Choice
from valueagents.errors import ConfigError, PolicyError, unknown_name
from valueagents.policies.elicitation import read_elicitation
from valueagents.policies.engines import make_engine
from valueagents.policies.engines.chats import ChatTokenizer
from valueagents.policies.language import LanguagePolicy, language_policy
from valueagents.policies.models import cache_folder, find_model
from valueagents.policies.training.fitting import Place, Request, finish, fit_rows
from valueagents.policies.training.folder import Show, claim, quiet, write_rows
from valueagents.policies.training.loop import Data, rows_of_epoch
from valueagents.policies.training.lora import where_to_train
from valueagents.policies.training.losses import menu_loss
from valueagents.policies.training.manifest import Manifest, TrainingData
from valueagents.policies.training.menu_rows import (
    ChoiceDirection,
    MenuExample,
    make_menu_rows,
    menu_examples,
    wanted_places,
)
from valueagents.policies.training.menus import (
    PARTS,
    AskedMenu,
    MenuPart,
    Parted,
    menus_of_env,
    part_menus,
    read_menus,
)
from valueagents.policies.training.settings import Settings, load_settings
from valueagents.running.execution import Progress
from valueagents.running.pool import Pool

log = logging.getLogger("valueagents")

PROMPT = "choose-1"
METHOD = "choices"
_FITTED: tuple[MenuPart, ...] = ("train", "eval")
_Share = Annotated[float, msgspec.Meta(gt=0, lt=1)]


class MenuSource(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where menus come from and how they are parted.

    Args:
        env, env_options: an env that enumerates its situations.
        sources: instead of an env: run directories, or one pool.
        decisions: of runs at most this many situations are drawn.
        seed: of the split, and of that draw.
        shares: of the clusters for train and for eval; the rest is test.
        history: at most this many earlier turns are shown.
    """

    env: str | None = None
    env_options: dict[str, Any] = {}
    sources: tuple[str, ...] = ()
    decisions: Annotated[int, msgspec.Meta(ge=3)] = 1000
    seed: Annotated[int, msgspec.Meta(ge=0)] = 0
    shares: tuple[_Share, _Share] = (0.4, 0.1)
    history: Annotated[int, msgspec.Meta(ge=1)] | None = None

    def pool(self) -> Pool:
        """All the menus. Raises ConfigError or DataError if they cannot be had."""
        if (self.env is None) == (not self.sources):
            raise ConfigError("menus come from an env or from --menus RUN …; give one of the two")
        if self.env is not None:
            return menus_of_env(self.env, self.env_options)
        return read_menus(self.sources, decisions=self.decisions, seed=self.seed)

    def parted(self) -> Parted:
        """The menus in their parts."""
        if sum(self.shares) >= 1:
            raise ConfigError(
                f"shares {self.shares[0]:g} and {self.shares[1]:g} leave nothing for test"
            )
        return part_menus(self.pool(), seed=self.seed, shares=self.shares)


class ChoiceTraining(msgspec.Struct, frozen=True, kw_only=True):
    """What to train. `base` as in a policy's spec."""

    base: str
    target: str
    direction: ChoiceDirection
    seed: int
    settings: Settings
    menus: MenuSource


def plan_choices(
    *,
    base: str,
    target: str,
    direction: str,
    seed: int,
    menus: MenuSource,
    preset: str = "choices",
    overrides: Mapping[str, object] | None = None,
) -> ChoiceTraining:
    """A training whose names and numbers are all known and whose target is at stake in the menus.

    Raises ConfigError if not.
    """
    if direction not in get_args(ChoiceDirection):
        raise ConfigError(unknown_name("direction", direction, get_args(ChoiceDirection)))
    if seed < 0:
        raise ConfigError(f"seed={seed}: give 0 or more")
    settings = load_settings(preset, overrides)
    if settings.variants != 1 or settings.rotate:
        raise ConfigError("a menu has one prompt: give --set variants=1 --set rotate=false")
    _check_target(target, menus.parted())
    return ChoiceTraining(
        base=base,
        target=target,
        direction=msgspec.convert(direction, ChoiceDirection),
        seed=seed,
        settings=settings,
        menus=menus,
    )


def train_choices(training: ChoiceTraining, out: Path | str, *, show: Show = quiet) -> Manifest:
    """Train, or go on with what a killed process left, or do nothing if it is finished.

    `out` is then the adapter; `menus/PART.jsonl` in it are the parts of the menus as pools.

    Raises ConfigError if `out` holds something else, or if the base model, a package or a GPU is
    missing.
    """
    out, settings = Path(out), training.settings
    place, files = Place(*where_to_train(settings)), find_model(training.base)
    parted = training.menus.parted()
    policy = _frozen(training)
    request = {
        **{name: getattr(training, name) for name in ("target", "direction", "seed")},
        "method": METHOD,
        "settings": msgspec.structs.asdict(settings),
        "base": policy.identity(),
        "menus": parted.split.name,
    }
    done = claim(out, request)
    if done is not None:
        return done
    parted.write(out)
    what = f"{training.target} {training.direction} from choices"
    log.info("%s on %s (%s, %s) in %s", what, files.name, place.device, place.dtype, out)
    rows = _rows(training, parted, policy, out, show)
    held_out = rows_of_epoch(rows.made["eval"], settings, seed=training.seed, epoch=0)
    adapted, fitted = fit_rows(
        files,
        Data(rows.made["train"], held_out),
        menu_loss(settings.beta),
        settings,
        seed=training.seed,
        out=out,
        place=place,
        data=rows.data,
        what=what,
        show=show,
    )
    told = Request(
        base=training.base,
        method=METHOD,
        target=training.target,
        direction=training.direction,
        seed=training.seed,
        all=request,
        split=parted.split,
    )
    return finish(adapted, told, fitted, files, place=place, out=out)


@dataclass(frozen=True, slots=True)
class _Rows:
    """The rows of a training as tokens, and what the manifest says of them."""

    made: dict[MenuPart, tuple[MenuExample, ...]]
    data: TrainingData


def _rows(
    training: ChoiceTraining, parted: Parted, policy: LanguagePolicy, out: Path, show: Show
) -> _Rows:
    """The rows of train and eval; the frozen model is asked for the options that stay its own."""
    target, direction, history = training.target, training.direction, training.menus.history
    asked = {part: parted.asked(part) for part in _FITTED}
    kept = _kept(policy, training, [each for part in _FITTED for each in asked[part]], show)
    rows = {
        part: make_menu_rows(asked[part], part, kept, target=target, direction=direction)
        for part in _FITTED
    }
    chats = ChatTokenizer(find_model(training.base))
    made = {
        part: menu_examples(
            rows[part], asked[part], chats, prompt=policy.prompts[0], history=history
        )
        for part in _FITTED
    }
    source = f"annotated menus; others: argmax of the frozen base, {PROMPT}"
    return _Rows(made, write_rows(out, rows["train"], rows["eval"], source=source))


def _kept(
    policy: LanguagePolicy, training: ChoiceTraining, asked: Sequence[AskedMenu], show: Show
) -> dict[str, int]:
    """Situation -> the place of the option that the frozen model finds most probable, of the menus
    that keep it.
    """
    owed = [each for each in asked if not wanted_places(each, training.target, training.direction)]
    with show("choices of the frozen model", "menus") as progress:
        found = asyncio.run(_ask(policy, owed, progress))
    return {each.shown: place for each, place in zip(owed, found, strict=True)}


async def _ask(policy: LanguagePolicy, asked: Sequence[AskedMenu], progress: Progress) -> list[int]:
    found: list[int] = []
    async with policy:
        for first in range(0, len(asked), policy.live):
            part = asked[first : first + policy.live]
            choices = await asyncio.gather(*(policy.decide(each.view()) for each in part))
            found += [_most_probable(choice) for choice in choices]
            progress(len(found), 0, len(asked))
    return found


def _most_probable(choice: Choice) -> int:
    if choice.probabilities is None:
        raise PolicyError("the base model gave no probabilities; use an engine that scores")
    return int(np.argmax(choice.probabilities))


def _check_target(target: str, parted: Parted) -> None:
    """Raise ConfigError unless the target is at stake in menus of every part."""
    axes = parted.pools["train"].header.taxonomy.axis_ids
    if target not in axes:
        raise ConfigError(unknown_name("target value", target, axes))
    counts = {part: sum(each.contests(target) for each in parted.asked(part)) for part in PARTS}
    if not all(counts.values()):
        told = ", ".join(f"{count} of {part}" for part, count in counts.items())
        raise ConfigError(
            f"{target} is at stake in menus: {told}; give more menus, other --shares or another"
            " --split-seed"
        )


def _frozen(training: ChoiceTraining) -> LanguagePolicy:
    """The base model as the menus are put to it, its replies kept on disk."""
    kept = cache_folder() / "baseline-labels.sqlite"
    options = {"reading": "likelihood", "prompt": PROMPT, "cache": str(kept)}
    if training.menus.history is not None:
        options["history"] = str(training.menus.history)
    return language_policy(make_engine("transformers", training.base), read_elicitation(options))
