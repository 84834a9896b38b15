"""Statements: what training may see of a survey env, read through the contract of envs.

Only the splits train and eval are asked for, and only affirming wordings (both for preference
pairs); nothing else in this package opens an env.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Literal, get_args

import msgspec

from valueagents.contracts.decision import Annotation, Menu
from valueagents.contracts.environment import ValueEnv
from valueagents.contracts.plugins import make_env
from valueagents.contracts.policy import View
from valueagents.errors import ConfigError, unknown_name

ENV = "valueagents/Survey-v0"
TrainingSplit = Literal["train", "eval"]


class PromptedStatement(msgspec.Struct, frozen=True):
    """A statement in one prompt variant (counted from 1), exactly as the env puts it when it is
    evaluated.

    `pair` is the statement and its opposing wording; `menu` lists the ratings as they are shown,
    `x` says what each does to `value`, from -1 to 1.
    """

    statement: str
    pair: str
    variant: int
    value: str
    task: str
    observation: str
    menu: Menu
    x: tuple[float, ...]

    def view(self) -> View:
        """What a policy is shown."""
        return View(self.task, (), self.observation, self.menu, seed=0)


class WordingPair(msgspec.Struct, frozen=True):
    """A statement for its value and the one against it."""

    pair: str
    value: str
    affirms: str
    opposes: str


def read_statements(
    split: TrainingSplit,
    *,
    variants: int,
    items: str | None,
    poles: Literal["affirm", "both"] = "affirm",
) -> tuple[PromptedStatement, ...]:
    """Every affirming statement of a split, or both wordings, in every variant, in file order.

    A situation is `ID/POLE/vNN`.

    Raises ConfigError or DataError for a bad file.
    """
    env = _open(split, poles=poles, variants=variants, items=items)
    asked = []
    for situation in env.situations():
        statement, _, variant = str(situation).rpartition("/v")
        observation, info = env.reset(seed=0, options={"situation": situation})
        value, x = _on_its_axis(info["annotation"], situation)
        asked.append(
            PromptedStatement(
                statement,
                info["cluster"] or statement,
                int(variant),
                value,
                env.task,
                observation,
                info["menu"],
                x,
            )
        )
    return tuple(asked)


def read_wordings(split: TrainingSplit, *, items: str | None) -> tuple[WordingPair, ...]:
    """Every statement of a split that has both wordings, for the methods that compare the two.

    Raises ConfigError if the env does not list its statements.
    """
    env = _open(split, poles="both", variants=1, items=items)
    texts: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for each in getattr(env, "statements", ()):
        texts[each.pair, each.value][each.pole] = each.text
    found = tuple(
        WordingPair(*key, both["affirm"], both["oppose"])
        for key, both in texts.items()
        if len(both) == 2
    )
    if not found:
        raise ConfigError("this survey has no opposing wordings to compare; use --method sft")
    return found


def check_target(target: str, statements: Sequence[PromptedStatement]) -> None:
    """Raise ConfigError unless some statement belongs to the target value."""
    values = {each.value for each in statements}
    if target not in values:
        raise ConfigError(unknown_name("target value", target, values))


def _open(split: TrainingSplit, **options: object) -> ValueEnv:
    """The env of one split."""
    if split not in get_args(TrainingSplit):
        raise ConfigError(
            f"training reads the splits train and eval only, not {split!r}; evaluate on it instead"
        )
    return make_env(
        ENV, split=split, **{name: value for name, value in options.items() if value is not None}
    )


def _on_its_axis(annotation: Annotation, situation: object) -> tuple[str, tuple[float, ...]]:
    axes = sorted(
        {axis for option in annotation.values for axis, x in option.items() if x is not None}
    )
    if len(axes) != 1:
        raise ConfigError(
            f"statement {situation!r} belongs to {axes or 'no value'}; training needs one value for"
            " each"
        )
    return axes[0], tuple(float(option.get(axes[0]) or 0.0) for option in annotation.values)
