"""Factors: facts about a menu that an env knows by name, such as its item, its pole or its prompt
variant.

An env declares its factors and gives the level of each with every menu that it opens; item files
declare factors of their own. Levels are recorded beside the decision and never shown to a policy.
Nobody needs to read them out of an id.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec

from valueagents.errors import unknown_name


class Factor(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A declaration: `name`, `meaning` (one sentence), and `levels`; empty = open, as the ids of
    items are.
    """

    name: str
    meaning: str
    levels: tuple[str, ...] = ()


def declaration_problem(declared: Sequence[Factor]) -> str | None:
    """What is wrong with the declarations of an env or a file, and what to do; None = nothing."""
    for factor in declared:
        if not factor.name.strip() or not factor.meaning.strip():
            return (
                f"factor {factor.name!r} lacks a name or a meaning; say in one sentence what its"
                " levels are"
            )
        repeated = [level for level, count in Counter(factor.levels).items() if count > 1]
        if repeated:
            return (
                f"factor {factor.name!r} lists its level {repeated[0]!r} twice; give each level"
                " once"
            )
    names = Counter(factor.name for factor in declared)
    for name, count in names.items():
        if count > 1:
            return f"factor {name!r} is declared {count} times; declare each factor once"
    return None


def level_problem(levels: Mapping[str, str], declared: Sequence[Factor]) -> str | None:
    """What is wrong with the levels of a menu (factor -> level), and what to do; None = all of them
    are declared.
    """
    for name, level in levels.items():
        factor = next((each for each in declared if each.name == name), None)
        if factor is None:
            remedy = f"Its level is {level!r}; declare the factor, or leave it out."
            return unknown_name("factor", name, (each.name for each in declared), remedy=remedy)
        if factor.levels and level not in factor.levels:
            known = ", ".join(factor.levels)
            remedy = f"Declared: {known}; add the level to the factor, or declare no levels."
            return unknown_name(f"level of factor {name!r}", level, factor.levels, remedy=remedy)
    return None
