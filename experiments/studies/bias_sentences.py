"""The answer of `study bias` in sentences, which claim no more than the numbers carry.

A claim is made where it holds after adjustment, of these policies, or of policies like them where
each kind has several that were trained apart. What is not told apart may differ by less than what
could be seen.
"""

from collections.abc import Iterable, Sequence

from valueagents.experiments.studies.bias_design import BiasStudy
from valueagents.experiments.studies.bias_effects import (
    LEVEL,
    BiasContrast,
    BiasFindings,
    PolicyBias,
    holds,
)
from valueagents.measuring.studies.bias import BiasMeasure
from valueagents.report.numbers import interval, p_value, percent, signed

QUESTIONS: dict[BiasMeasure, tuple[str, str, str]] = {
    "bias": ("Are the multilingual policies less biased?", "less biased", "more biased"),
    "accuracy": (
        "Are the multilingual policies more accurate?",
        "more accurate",
        "less accurate",
    ),
}
_CHANCE, _ROUNDING = 1 / 3, 1e-9
_DETECTED = 2.8
"""Standard errors of a difference that a test at 5 % sees in four of five cases."""
_LOW_MASS = 0.5


def bias_sentences(study: BiasStudy, found: BiasFindings) -> list[str]:
    """A paragraph for each question, one on what cannot be judged, one on what it is about."""
    answers = [_answer(measure, found) for measure in QUESTIONS]
    return [*answers, *filter(None, [_useless(found), _low_mass(found)]), _scope(study, found)]


def _answer(measure: BiasMeasure, found: BiasFindings) -> str:
    question = QUESTIONS[measure][0]
    contrasts = found.of(measure)
    if not contrasts:
        why = (
            "no language has both a monolingual and a multilingual policy"
            if measure == "bias" or any(each.questions for each in found.policies)
            else "sentence pairs have no right answer"
        )
        return f"{question} Not asked here: {why}."
    benchmarks = dict.fromkeys(each.benchmark for each in contrasts)
    told = " ".join(
        _of_benchmark(measure, name, found.of(measure, benchmark=name)) for name in benchmarks
    )
    guessing = (
        " None of them is clear of chance where the text tells the answer, so this does not"
        " show better understanding."
        if measure == "accuracy" and any(map(holds, contrasts)) and _all_guess(found)
        else ""
    )
    return f"{question} {_verdict(measure, contrasts)}{guessing} {told}"


def _verdict(measure: BiasMeasure, contrasts: Sequence[BiasContrast]) -> str:
    """One sentence over all benchmarks and languages."""
    _, better, worse = QUESTIONS[measure]
    ways = {each.verdict for each in contrasts if holds(each)}
    if not ways:
        return "Not told from these answers."
    if ways == {1, -1}:
        return f"It depends: here they are {better}, there {worse}."
    named = better if ways == {1} else worse
    every = all(holds(each) for each in contrasts)
    whole = [each.benchmark for each in contrasts if holds(each) and not each.language]
    over = f"over the languages of {_listed(map(repr, whole))}" if whole else "in some languages"
    where = "everywhere asked" if every else over
    like = all(each.policies_vary for each in contrasts if holds(each))
    whose = "policies like these" if like else "these policies"
    return f"{'Yes' if named == better else 'No, the contrary'}: {whose} are {named} {where}."


def _of_benchmark(measure: BiasMeasure, name: str, contrasts: Sequence[BiasContrast]) -> str:
    _, better, worse = QUESTIONS[measure]
    single = [each for each in contrasts if each.language]
    parts = []
    for verdict, word in ((1, better), (-1, worse)):
        own = [each for each in single if holds(each) and each.verdict == verdict]
        if own:
            parts.append(f"{word} in {_listed(map(_in_language, own))}")
    still = [each for each in single if not holds(each)]
    if still:
        sizes = [_DETECTED * each.error for each in still if each.error]
        seen = f" (a difference of about {max(sizes):.2g} would have been seen)" if sizes else ""
        parts.append(f"not told apart in {_listed(each.language for each in still)}{seen}")
    sentence = f"On {name!r}: {'; '.join(parts)}."
    whole = next((each for each in contrasts if not each.language), None)
    return sentence if whole is None else f"{sentence} {_over_languages(whole, better, worse)}"


def _in_language(each: BiasContrast) -> str:
    return (
        f"{each.language} ({signed(each.multilingual.value)} against"
        f" {signed(each.monolingual.value)}, adjusted p {_p(each.p_adjusted)})"
    )


def _over_languages(whole: BiasContrast, better: str, worse: str) -> str:
    number = f"{signed(whole.difference.value)} {interval(whole.difference)}".strip()
    word = better if whole.verdict > 0 else worse
    verdict = word if holds(whole) else "not told apart"
    tested = "nothing varies" if whole.p is None else f"adjusted p {_p(whole.p_adjusted)}"
    return (
        f"Over the {len(whole.languages)} languages {signed(whole.multilingual.value)} against"
        f" {signed(whole.monolingual.value)}, difference {number}, {tested}: {verdict}."
    )


def _useless(found: BiasFindings) -> str:
    """Whose small bias says nothing, because they do not answer better than by chance."""
    names = dict.fromkeys(
        f"{each.policy} ({each.language})"
        for each in found.policies
        if each.questions is not None and not _above_chance(each)
    )
    if not names:
        return ""
    return (
        f"Not clear of chance in disambiguated questions, where the text tells the answer:"
        f" {_listed(names)}. A model that guesses shows little bias: compare with the bound."
    )


def _all_guess(found: BiasFindings) -> bool:
    asked = [each for each in found.policies if each.questions is not None]
    return bool(asked) and not any(map(_above_chance, asked))


def _above_chance(each: PolicyBias) -> bool:
    if each.questions is None:
        return True
    accuracy = each.questions.accuracy_disambiguated
    if accuracy.value is None:
        return True
    return (accuracy.low if accuracy.low is not None else accuracy.value) > _CHANCE + _ROUNDING


def _low_mass(found: BiasFindings) -> str:
    names = dict.fromkeys(
        each.policy
        for each in found.policies
        if each.mass is not None and each.mass.mean < _LOW_MASS
    )
    if not names:
        return ""
    return (
        f"The offered answers had under {percent(_LOW_MASS)} of the probability of"
        f" {_listed(names)}: what would have been said instead is not known."
    )


def _scope(study: BiasStudy, found: BiasFindings) -> str:
    vary = any(each.policies_vary for each in found.contrasts)
    sampled = (
        "Policies of a kind are sampled with the templates."
        if vary
        else "One policy of a kind: nothing is said of training others like them."
    )
    left_out = sum(count for each in found.unanswered.values() for count in each.values())
    unread = f" {left_out} items that some policy did not answer are left out." if left_out else ""
    note = f" {study.note}" if study.note else ""
    return (
        f"All this is of {len(study.policies)} policies as they were asked, on items like these."
        f" {sampled} The chance of any false claim about bias is at most {percent(LEVEL)}, about"
        f" accuracy likewise.{unread}{note}"
    )


def _p(p: float | None) -> str:
    text = p_value(p)
    return text if text.startswith("<") else f"= {text}"


def _listed(items: Iterable[str], most: int = 6) -> str:
    names = list(items)
    if len(names) <= most + 1:
        return ", ".join(names)
    return f"{', '.join(names[:most])} and {len(names) - most} others"
