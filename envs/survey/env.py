"""`valueagents/Survey-v0`: every decision is the rating of one statement, 1 to 6 or as a
questionnaire has it.
"""

from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal, get_args

import msgspec

from valueagents.contracts.decision import Factor
from valueagents.envs.items.env import ItemEnv, on_axes_alone
from valueagents.envs.survey.bank import Split, Statement, SurveyBank, read_survey_jsonl
from valueagents.envs.survey.form import Pole
from valueagents.envs.survey.lab_files import read_lab_survey
from valueagents.envs.survey.prompts import SurveyWordings, Variant, load_survey_prompts
from valueagents.envs.survey.questionnaires import read_questionnaire
from valueagents.errors import ConfigError
from valueagents.files.items import Item, ItemBank, ItemOption
from valueagents.files.text import once_per_file, require_file

_SIX = 1, 6
Splits = Literal[Split, "all"]
Poles = Literal[Pole, "both"]
Wordings = Literal[SurveyWordings, "published"]


class SurveyEnv(ItemEnv):
    """A value survey: statements for and against a value, each rated from 1 to 6, or on the answer
    scale of a questionnaire.

    The annotation of rating r is x = (r - 3.5)/2.5 on the statement's own value (on a scale from l
    to h, r minus its middle in halves of its length), with the sign turned for a wording that
    opposes it; so E3 is the mean score of the value's items on [-1, 1], and with both poles a habit
    of agreeing cancels. All other axes are *not annotated*, rather than neutral: a statement
    belongs to its value, or values, by its key, and nobody has judged what agreeing with it says of
    the others. E2 and E4 are thereby taken over the value's own items.

    Options are shown in the order of the scale, never shuffled. A situation is pair/pole/variant,
    e.g. `HED-01/affirm/v01`; a cluster is the pair, whose wordings and variants are not
    independent.

    Args:
        split: the part of the bank that is met; train and eval are for fitting an adapter, test for
            measuring.
        poles: affirming wordings, opposing ones, or both.
        variants: prompt variants of each statement (`data/survey_variants.toml`): 1 to 27 as
            trained (3 tasks × 9 answers), 1 to 9 held out (3 × 3).
        wordings: the variants that adapters are trained in (trained), others, which no training
            sees (held-out), or a questionnaire's own question and scale (published); by default
            published with `key`, else trained for the splits train and eval and held-out for test.
        items: a `.jsonl` in our format (envs/reference.md), the survey `.json` of arXiv 2508.11414,
            or with `key` a questionnaire's numbered statements; by default the bundled bank (480
            pairs, taxonomy schwartz20).
        key: the form of the questionnaire whose statements are in `items` (`number` and `text`,
            .jsonl or .csv): pvq-rr, pvq-40, pvq-21, or a `.toml` file of yours.
        reverse: put the lowest number as the highest answer; by default as the form has it (pvq-21:
            yes, as in the ESS).
        render_mode: "ansi" or None, as in Gymnasium.
    """

    version = "2"
    asks = "rate"
    shuffled = False
    min_contested = 1
    factors = (
        Factor("item", "The pair of statements, which speak for and against one value."),
        Factor("pole", "Whether the statement speaks for its value or against it.", get_args(Pole)),
        Factor("variant", "The prompt variant: a way of asking and a template of the answer."),
    )

    def __init__(
        self,
        *,
        split: Splits = "test",
        poles: Poles = "both",
        variants: Annotated[int, msgspec.Meta(ge=1)] = 1,
        wordings: Wordings | None = None,
        items: str | None = None,
        key: str | None = None,
        reverse: bool | None = None,
        render_mode: Literal["ansi"] | None = None,
    ) -> None:
        self.survey = survey = read_survey(
            None if items is None else Path(items), key=key, reverse=reverse
        )
        self.statements = select(survey.statements, split=split, poles=poles)
        if wordings is None and survey.form is not None:
            wordings = "published"
        elif wordings is None:
            wordings = "trained" if split in ("train", "eval") else "held-out"
        prompts = _variants(survey, variants, wordings)
        points = _SIX if survey.form is None else survey.form.points
        self._levels = {
            _situation(statement, variant): {
                "item": statement.pair,
                "pole": statement.pole,
                "variant": variant.id,
            }
            for statement in self.statements
            for variant in prompts
        }
        bank = ItemBank(
            taxonomy=survey.taxonomy,
            task=survey.task,
            provenance=survey.provenance,
            scaling=(
                f"(rating - {sum(points) / 2:g})/{(points[1] - points[0]) / 2:g} on the statement's"
                " value; sign turned for opposing wordings, reversed scales"
            ),
            items=_items(survey, self.statements, prompts, points),
            notes=survey.notes,
        )
        super().__init__(bank, render_mode=render_mode)

    def levels(self, item: Item) -> dict[str, str]:
        """The pair, the pole and the prompt variant."""
        return self._levels[item.id]


def read_survey(
    path: Path | None, *, key: str | None = None, reverse: bool | None = None
) -> SurveyBank:
    """The survey in a file, or the bundled one.

    What its reader found odd is logged, once for each file.

    Raises ConfigError if there is no such file or the options do not fit its kind, DataError if it
    is malformed.
    """
    if path is None and key is None:
        path = Path(str(files("valueagents.envs").joinpath("data", "survey.jsonl")))
    if path is not None:
        require_file(
            path,
            (".jsonl", ".json", ".csv"),
            "neither .jsonl (our format or numbered statements), .csv (numbered statements) nor"
            " .json (the study's file)",
        )
    survey = _read_any(path, key, reverse)
    return survey if reverse is None else msgspec.structs.replace(survey, reverse=reverse)


@once_per_file
def _read_any(path: Path | None, key: str | None, reverse: bool | None) -> SurveyBank:
    if key is not None and path is not None and path.suffix == ".json":
        raise ConfigError(
            f"key={key} goes with a .jsonl or .csv of numbered statements, not with {path.name}"
        )
    if key is not None:
        return read_questionnaire(path, key, reverse=reverse)
    assert path is not None  # noqa: S101 – one of the two is given
    if path.suffix == ".csv":
        raise ConfigError(
            f"{path.name} holds numbered statements: say whose key scores them, e.g. key=pvq-rr"
        )
    return read_lab_survey(path) if path.suffix == ".json" else read_survey_jsonl(path)


def _variants(survey: SurveyBank, count: int, wordings: Wordings) -> tuple[Variant, ...]:
    """The prompts of a survey. Raises ConfigError where it cannot be put so."""
    form = survey.form
    if wordings == "published":
        if form is None:
            raise ConfigError("wordings=published is a questionnaire's own form: give its key")
        if count != 1:
            raise ConfigError(f"variants={count}: a questionnaire is published in one wording")
        return (form.variant(reverse=survey.reverse),)
    if form is not None and form.points != _SIX:
        raise ConfigError(
            f"wordings={wordings} speaks of six points, the questionnaire has"
            f" {form.points[0]} to {form.points[1]}; leave wordings out"
        )
    asked = survey.prompts if wordings == "trained" else load_survey_prompts(wordings)
    return asked.variants(count, reverse=survey.reverse)


def select(
    statements: Sequence[Statement], *, split: Splits, poles: Poles
) -> tuple[Statement, ...]:
    """The statements of a split and pole, in file order. Raises ConfigError if there are none."""
    chosen = tuple(s for s in statements if split in ("all", s.split) and poles in ("both", s.pole))
    if not chosen:
        held = sorted({f"split={s.split} poles={s.pole}" for s in statements})
        raise ConfigError(
            f"no statements with split={split} and poles={poles}; the file has {', '.join(held)}"
        )
    return chosen


def rating_value(
    rating: int, *, opposing: bool, reverse: bool, points: tuple[int, int] = _SIX
) -> float:
    """The x of a rating on a scale with these ends: from -1 (all against the value) to +1 (all for
    it).
    """
    lowest, highest = points
    x = (rating - (lowest + highest) / 2) / ((highest - lowest) / 2)
    return -x if opposing != reverse else x


def _situation(statement: Statement, variant: Variant) -> str:
    return f"{statement.id}/{variant.id}"


def _items(
    survey: SurveyBank,
    statements: Sequence[Statement],
    variants: Sequence[Variant],
    points: tuple[int, int],
) -> tuple[Item, ...]:
    """An item for each statement and variant; those of one value, pole and variant share their
    options.
    """

    @cache
    def options(keyed: tuple[tuple[str, Pole], ...], answer: int) -> tuple[ItemOption, ...]:
        return tuple(
            ItemOption(
                id=str(r), text=variants[answer].reply(r), values=_values(survey, keyed, r, points)
            )
            for r in range(points[0], points[1] + 1)
        )

    return tuple(
        Item(
            id=_situation(statement, variant),
            text=variant.observation(statement.text),
            options=options(statement.keyed, place),
            setting=statement.setting,
            cluster=statement.pair,
        )
        for statement in statements
        for place, variant in enumerate(variants)
    )


def _values(
    survey: SurveyBank, keyed: Sequence[tuple[str, Pole]], rating: int, points: tuple[int, int]
) -> dict[str, float | None]:
    """The x of a rating on the values of its statement; the others are not annotated."""
    x = {
        axis: rating_value(rating, opposing=pole == "oppose", reverse=survey.reverse, points=points)
        for axis, pole in keyed
    }
    return on_axes_alone(survey.taxonomy, x)
