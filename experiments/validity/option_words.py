"""Do the words of an option give its value away?

A policy with a taste for some words would be scored as one with values, if options that serve a
value shared words that others do not have. Two looks at each bundled bank of dilemmas: how often a
bag of words names the value that an option leads with, learnt on other items (ridge regression on
tf-idf weights, folds by item; chance is 1 in 20); and which words and phrases stand mostly in
options of one value.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple, get_args

import numpy as np

from valueagents.envs.items.dilemma import BundledDilemmas, DilemmaEnv
from valueagents.files.items import Item

FOLDS = 10
RIDGE = 0.3
MIN_USES, MOST_IN_ONE = 8, 0.4
_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?")


class Led(NamedTuple):
    """An option by its item's cluster, its words in order, and the value that it leads with."""

    cluster: str
    words: tuple[str, ...]
    value: str


class Phrase(NamedTuple):
    """A phrase, how many items use it, and in how many of these the option leads with `value`."""

    text: str
    uses: int
    value: str
    of_value: int


def main() -> None:
    """Print both looks at each bank."""
    for bank in get_args(BundledDilemmas):
        options = led_options(DilemmaEnv(bank=bank).bank.items)
        print(
            f"{bank}: {len(options)} options; leading value named by a bag of words:"
            f" {named_by_words(options):.3f} (chance {1 / len({o.value for o in options}):.2f})"
        )
        for phrase in telling_phrases(options)[:20]:
            print(f"  {phrase.of_value:4d} of {phrase.uses:4d} in {phrase.value}: {phrase.text}")


def led_options(items: Sequence[Item]) -> list[Led]:
    """The options that serve a value, by the first value that they are marked to serve."""
    return [
        Led(item.cluster or item.id, tuple(_WORD.findall(option.text.casefold())), leading)
        for item in items
        for option in item.options
        if (leading := next((v for v, x in option.values.items() if x and x > 0), None))
    ]


def named_by_words(options: Sequence[Led], seed: int = 0) -> float:
    """The share of options whose leading value a bag of words names, cross-validated by item."""
    x, values = _bag(options), sorted({o.value for o in options})
    y = np.array([values.index(o.value) for o in options])
    clusters = sorted({o.cluster for o in options})
    order = np.random.default_rng(seed).permutation(len(clusters))
    fold_of = {clusters[k]: place % FOLDS for place, k in enumerate(order)}
    folds = np.array([fold_of[o.cluster] for o in options])
    named = np.zeros(len(options), dtype=bool)
    for fold in range(FOLDS):
        train, test = folds != fold, folds == fold
        idf = np.log((1 + train.sum()) / (1 + x[train].sum(axis=0))) + 1
        z = x * idf
        z /= np.maximum(np.linalg.norm(z, axis=1, keepdims=True), 1e-9)
        target = np.eye(len(values))[y[train]]
        gram = z[train] @ z[train].T + RIDGE * np.eye(int(train.sum()))
        weights = np.linalg.solve(gram, target - target.mean(axis=0))
        named[test] = (z[test] @ z[train].T @ weights).argmax(axis=1) == y[test]
    return float(named.mean())


def telling_phrases(options: Sequence[Led]) -> list[Phrase]:
    """Phrases of one to three words, in options of at least eight items, over two fifths of them of
    one value; the commonest first. The wordings of an item, which repeat its nouns, count once.
    """
    used = {
        (text, option.cluster, option.value)
        for option in options
        for text in _phrases(option.words)
    }
    uses: dict[str, Counter[str]] = defaultdict(Counter)
    for text, _, value in used:
        uses[text][value] += 1
    found = []
    for text, by_value in uses.items():
        [(value, most)], total = by_value.most_common(1), by_value.total()
        if total >= MIN_USES and most > MOST_IN_ONE * total:
            found.append(Phrase(text, total, value, most))
    return sorted(found, key=lambda phrase: (-phrase.of_value, phrase.text))


def _phrases(words: Sequence[str]) -> Iterator[str]:
    for length in (1, 2, 3):
        for start in range(len(words) - length + 1):
            yield " ".join(words[start : start + length])


def _bag(options: Sequence[Led]) -> np.ndarray:
    """Which words each option has: 0 or 1, (options, words)."""
    places = {word: k for k, word in enumerate(sorted({w for o in options for w in o.words}))}
    x = np.zeros((len(options), len(places)))
    for row, option in enumerate(options):
        x[row, [places[word] for word in option.words]] = 1
    return x


if __name__ == "__main__":
    main()
