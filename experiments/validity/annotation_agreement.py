"""Do two annotators agree on what the bundled banks' options do? Cohen's kappa (1960), and plain
shares beside it.

The first annotation is its author's, the second was made blind: dilemmas and statements from the
codebook and the texts only (scenes and source of the games without the marks), posts from these
and the value of each, stereotype questions from the texts. Both annotators are language
models of one family, so agreement says that the codebook can be applied, not that people would
agree.
"""

import json
import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

import numpy as np
import numpy.typing as npt

from valueagents.arrays import IntArray
from valueagents.envs.items.dilemma import DilemmaEnv
from valueagents.envs.items.judgement import JudgementEnv
from valueagents.envs.stereotypes.files import bundled_probes, read_stereotypes
from valueagents.envs.stereotypes.languages import BUNDLED
from valueagents.envs.survey.env import SurveyEnv
from valueagents.taxonomy import load_taxonomy

_OPTION = re.compile(r"\s*(\*\w+ [^#]*)?#")
_COMMENT = re.compile(r"\s*\*comment value: (?P<marks>.*)")
_MARK = re.compile(r"([A-Z]{3}) ([+-])1")
_DEED = re.compile(r"Deed\((D_\w+)\s*,([^)]*)\)")
_AXIS = re.compile(r"(-?)([A-Z]{3})\b")


def main() -> None:
    """Print the agreement on dilemmas and both games (a row for each value), on survey statements,
    on judgements, and on stereotype questions (a row for each language).
    """
    axes = load_taxonomy("schwartz20").axis_ids
    print_signs("dilemmas: signs of the options", axes, *dilemma_signs(axes))
    print_signs("choice game: signs of the options", axes, *game_signs(axes, choice_game_marks()))
    print_signs("story: signs of the acts", axes, *game_signs(axes, story_marks(), "story"))
    print_survey()
    print_judgements()
    print_stereotypes()


def print_signs(title: str, axes: Sequence[str], first: IntArray, second: IntArray) -> None:
    """Kappa of each value and of all, with the numbers of marks; (options, values) each."""
    print(title)
    print(f"{'value':6} {'kappa':>6} {'first':>6} {'second':>6} {'opposite':>9}")
    for v, axis in enumerate(axes):
        a, b = first[:, v], second[:, v]
        opposite = int((a * b < 0).sum())
        print(
            f"{axis:6} {kappa(a, b):6.2f} {np.count_nonzero(a):6d} {np.count_nonzero(b):6d}"
            f" {opposite:9d}"
        )
    print(
        f"{'all':6} {kappa(first.ravel(), second.ravel()):6.2f}   over {len(first)} options ×"
        f" {len(axes)} values\n"
    )


def dilemma_signs(axes: Sequence[str]) -> tuple[IntArray, IntArray]:
    """The signs that the two annotators gave, (options, values) each, in the order of the bank."""
    other = {row["id"]: row["options"] for row in second_annotation("dilemmas-1")}
    marks = [
        (o.values, other[item.id][o.id]) for item in DilemmaEnv().bank.items for o in item.options
    ]
    first, second = (
        [[int(marked.get(axis) or 0) for axis in axes] for marked in side]
        for side in zip(*marks, strict=True)
    )
    return np.array(first), np.array(second)


def game_signs(
    axes: Sequence[str], marks: Mapping[str, Mapping[str, int]], bank: str = "choice_game"
) -> tuple[IntArray, IntArray]:
    """The signs that the author and the second annotator gave, (acts, values) each."""
    second = {row["id"]: row["values"] for row in second_annotation(bank)}
    sides = ((marks[act], second[act]) for act in marks)
    first, other = zip(*sides, strict=True)
    return _signs(axes, first), _signs(axes, other)


def _signs(axes: Sequence[str], marks: Sequence[Mapping[str, int]]) -> IntArray:
    return np.array([[int(given.get(axis, 0)) for axis in axes] for given in marks])


def choice_game_marks() -> dict[str, dict[str, int]]:
    """The author's marks of every option of the bundled choice game, by scene and line."""
    marks: dict[str, dict[str, int]] = {}
    for scene in sorted(_data("choice_game").iterdir(), key=lambda each: each.name):
        if not scene.name.endswith(".txt"):
            continue
        option = ""
        for number, line in enumerate(scene.read_text(encoding="utf-8").splitlines(), 1):
            if _OPTION.match(line):
                option = f"{scene.name.removesuffix('.txt')}:{number}"
            elif (comment := _COMMENT.match(line)) and option:
                given = _MARK.findall(comment["marks"])
                marks[option] = {axis: int(sign + "1") for axis, sign in given}
                option = ""
    return marks


def story_marks() -> dict[str, dict[str, int]]:
    """The author's marks of every act of the bundled story, by the constant of the act."""
    source = _data("story").joinpath("merrow.inf").read_text(encoding="utf-8")
    return {
        deed: {axis: -1 if minus else 1 for minus, axis in _AXIS.findall(words)}
        for deed, words in _DEED.findall(source)
    }


def print_survey() -> None:
    """Which value a statement belongs to and whether it speaks for it; each annotator gave one
    value and one sign.
    """
    statements = {statement.id: statement for statement in SurveyEnv(split="all").statements}
    rows = second_annotation("survey")
    pairs = [(statements[f"{row['id']}/{row['pole']}"], row) for row in rows]
    values = np.array([(statement.value, row["value"]) for statement, row in pairs])
    signs = np.array(
        [(1 if statement.pole == "affirm" else -1, row["sign"]) for statement, row in pairs]
    )
    reworded = sum(statement.text != row["text"] for statement, row in pairs)
    print(
        f"\nsurvey: {len(rows)} of {len(statements)} statements, as they read when the second"
        " annotator saw them"
    )
    print(
        f"same value {(values[:, 0] == values[:, 1]).mean():.3f}, kappa"
        f" {kappa(values[:, 0], values[:, 1]):.2f}"
    )
    alike = signs[values[:, 0] == values[:, 1]]  # signs on different values cannot be compared
    share, beyond_chance = (alike[:, 0] == alike[:, 1]).mean(), kappa(alike[:, 0], alike[:, 1])
    print(f"same sign there {share:.3f}, kappa {beyond_chance:.2f}, over {len(alike)}")
    print(f"reworded since: {reworded} of them")


def print_judgements() -> None:
    """The verdict of a reader who holds the value high, and of one to whom it means little."""
    posts = {post.id: post for post in JudgementEnv().posts}
    rows = second_annotation("judgements-1")
    print(f"\njudgements: {len(rows)} of {len(posts)} posts")
    for reader in ("high", "low"):
        a, b = np.array([(getattr(posts[row["id"]], reader), row[reader]) for row in rows]).T
        opposite = int((((a == "NTA") & (b == "YTA")) | ((a == "YTA") & (b == "NTA"))).sum())
        print(
            f"{reader:4} same {(a == b).mean():.3f}, kappa {kappa(a, b):.2f}, opposite verdicts"
            f" {opposite}"
        )


def print_stereotypes() -> None:
    """Which answer is right, and which the stereotype would give; how natural the texts are."""
    print("\nstereotype questions, as they read when the second annotator saw them")
    print(f"{'':4} {'right':>11} {'stereotyped':>13} {'natural':>8} {'reworded since':>15}")
    print(f"{'':4} {'same kappa':>11} {'same kappa':>13}")
    for language in BUNDLED:
        rows = stereotype_rows(language).values()
        right, its_right, stereotyped, its_stereotyped = stereotype_places(language)
        natural = np.mean([row["natural"] for row in rows])
        print(
            f"{language:4} {_same(right, its_right):>11} {_same(stereotyped, its_stereotyped):>13}"
            f" {natural:8.2f} {sum(row['reworded'] for row in rows):15d}"
        )


def stereotype_places(language: str) -> IntArray:
    """The places, from 0, of the right answer and of the one that the stereotype would give: right
    by author and second annotator, then stereotyped by both, (4, items).
    """
    rows = stereotype_rows(language)
    places = []
    for probe in read_stereotypes((bundled_probes(language),)).probes:
        roles, row = [option.role for option in probe.options], rows[probe.id]
        authors = roles.index(probe.answer), roles.index("stereotyped")
        places.append((authors[0], row["answer"], authors[1], row["stereotyped"]))
    return np.array(places).T


def stereotype_rows(language: str) -> dict[str, dict[str, Any]]:
    """What the second annotator said of the items of a language, by id."""
    rows = second_annotation("stereotype_probes")
    return {row["id"]: row for row in rows if row["language"] == language}


def _same(a: IntArray, b: IntArray) -> str:
    return f"{(a == b).mean():.3f} {kappa(a, b):.2f}"


def second_annotation(bank: str) -> list[dict[str, Any]]:
    """The rows of a bank's second annotation, without the header."""
    text = _data(f"{bank}.second.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()[1:]]


def _data(name: str) -> Traversable:
    return files("valueagents.envs").joinpath("data", name)


def kappa(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> float:
    """Agreement beyond chance: 1 = perfect, 0 = as by chance."""
    observed = float((a == b).mean())
    chance = sum(
        float((a == label).mean() * (b == label).mean())
        for label in np.unique(np.concatenate([a, b]))
    )
    return (observed - chance) / (1 - chance)


if __name__ == "__main__":
    main()
