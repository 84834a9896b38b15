"""Groups: mentions that belong together as one, and restated menus, which name nothing."""

import re
from collections.abc import Sequence
from itertools import pairwise

from valueagents.policies.readings.mentions import Mention, every_mention
from valueagents.policies.readings.menu_words import NamedMenu, lower
from valueagents.policies.readings.patterns import blanked, pattern, says_nothing

_OR = r"or|and|and/or|nor|oder|und|noch|sowie|ou|et|ni|o|oppure|u|y|e|né|и|или|либо|ни|vs\.?|versus"
_HEDGES = r"maybe|perhaps|possibly|even|also|the|vielleicht|peut-être|quizás|forse|может быть"
_PARTICLES = r"for|with|at|to|für|mit|bei|auf|pour|avec|à|sur|por|con|para|a|per|su|на|за|в|с|к"
_THEN = r"then|dann|danach|puis|ensuite|luego|después|poi|потом|затем"
_FIRST = r"(?:first|zuerst|erst|d'abord|primero|prima|сначала|or so|oder so)\b\s*"
_JOIN = re.compile(
    rf"[\s)\]\"]*(?:分\s*)?(?:{_FIRST})?(?:,?\s*(?:(?<!\w)(?:{_OR})(?!\w)|[/&+<>=≥≻]|或者?|和|跟|与|还是|、|,?\s*(?:再|然后)|,(?=\s*(?:{_THEN})\b))\s*)+"
    rf"(?:(?:{_HEDGES}|{_THEN}|{_PARTICLES})\s+)*[\s(\[\"]*"
)
_NUMBER_JOIN = re.compile(r"[)\s]*(?:[-–—~]|to|bis|à|до|到|至)\s*")
_BEGINNING = 4  # characters
_VERB = re.compile(
    r"\s+(?:is|was|would|will|seems|feels|has|does|makes|ist|wäre|est|serait|es|sería|è|sarebbe)\b"
)
_AND = re.compile(r"\b(?:and|und|et|y|e|и)\b")
_BEFORE_LABEL = (
    r"(?:\A|[\n.;:,!?|–—•{-]|\b(?:and|or|und|oder|et|ou|y|o|e|и|или)\s)"
    r"[\s(\[\"*#>|-]*(?:option|choice|variante?|opción|opzione|вариант|选项)?\s*[(\[\"]*\Z"
)
_AFTER_LABEL = re.compile(r"[\"*]*\s*(?:\(\w|[):\].=|]+\s*[^\s)]|\s[–—-]\s|\s=)")

_ASKED = re.compile(r"[^?.!;\n]+[?:]\s*\w+[.,!]?")
_TICK = re.compile(
    r"✓|✔|✅|☑|→|←|👉|\[x\]|<-|[):–—-]\s*(?:voilà|yes|ja|oui|sí|sì|да|是的?|best)(?=\s*[,.!]|\s*\Z)",
    re.IGNORECASE,
)


def find_mentions(text: str, menu: NamedMenu) -> list[Mention]:
    """What a text names, in order: groups as one mention, restated menus left out."""
    low = lower(text)
    found = _labelled(text, _longest(every_mention(text, menu)))
    found = _without_span(low, found, menu)
    return _listed(low, _joined(low, _without_menu(text, found)))


def _longest(found: Sequence[Mention]) -> list[Mention]:
    """Without those that are part of a longer one; of two on the same words, what both may mean."""
    kept: list[Mention] = []
    for each in found:
        last = kept[-1] if kept else None
        if last is None or each.start >= last.end:
            kept.append(each)
        elif each.end <= last.end and each.end - each.start == last.end - last.start:
            kept[-1] = Mention(last.start, last.end, last.options | each.options, last.kind)
        elif each.end > last.end:
            kept.append(each)
    return kept


def _labelled(text: str, found: Sequence[Mention]) -> list[Mention]:
    """A letter or number and the text beside it as one mention: of the option that both name, or
    of both.
    """
    made: list[Mention] = []
    for k, each in enumerate(found):
        last = made[-1] if made else None
        own = any(_is_label_of(text, after, each) for after in found[k + 1 : k + 2])
        if (
            last is None
            or (own and last.options != each.options)
            or not _beside(text[last.end : each.start], last, each)
            or (last.options != each.options and _ends_sentence(text, last))
        ):
            made.append(each)
            continue
        options = last.options & each.options or last.options | each.options
        kind = each.kind if last.kind == "text" else last.kind
        made[-1] = Mention(last.start, each.end, options, kind)
    return made


def _is_label_of(text: str, label: Mention, each: Mention) -> bool:
    """Whether an option's letter follows its text: "C. To attack the dragon (A) is folly"."""
    return label.options == each.options and _beside(text[each.end : label.start], each, label)


def _ends_sentence(text: str, label: Mention) -> bool:
    """Whether a letter is the last word of a sentence: "the best is A. To wait would …"."""
    words_before = re.search(r"\w[ \t(\"]*\Z", text[: label.start])
    return words_before is not None and re.match(r"\.\s", text[label.end :]) is not None


def _beside(between: str, last: Mention, each: Mention) -> bool:
    if last.kind == "text" and last.options != each.options:
        return False
    if len(between) > 6 or not re.fullmatch(r"[^\w\n/&+,?!。]*(?:\n\s*)?", between):
        return False
    if {last.kind, each.kind} in ({"letter", "number"}, {"code", "text"}):
        return last.options == each.options
    means = last.options == each.options and re.fullmatch(r"\s*[=(]\s*", between)
    return between != "" and (last.kind != each.kind or bool(means))


def _without_span(low: str, found: Sequence[Mention], menu: NamedMenu) -> list[Mention]:
    """Without the ends of the whole scale: "Rating: 1 to Rating: 6"."""
    if not menu.scale:
        return list(found)
    ends = (frozenset({menu.scale[min(menu.scale)]}), frozenset({menu.scale[max(menu.scale)]}))
    left_out: set[int] = set()
    for k, (one, other) in enumerate(pairwise(found)):
        to = re.fullmatch(r"\W*", low[one.end : other.start]) or _NUMBER_JOIN.fullmatch(
            low, one.end, other.start
        )
        if to is not None and ends in ((one.options, other.options), (other.options, one.options)):
            left_out |= {k, k + 1}
    return [each for k, each in enumerate(found) if k not in left_out]


def _without_menu(text: str, found: Sequence[Mention]) -> list[Mention]:
    """Without a restated menu: labels of ever later options, each at the beginning of what is said
    of it.
    """
    runs: list[list[int]] = []
    for k, each in enumerate(found):
        if not _is_label(text, each):
            continue
        last = found[runs[-1][-1]] if runs else None
        if last is not None and _goes_on(text, last, each):
            runs[-1].append(k)
        else:
            runs.append([k])
    listed: set[int] = set()
    for run in runs:
        whole = [*_before_run(text, found, run), *run]
        verdict = 0 not in found[whole[0]].options and re.match(r"\W*\w[.)]\s", text)
        if len(run) > 1 and not (found[whole[0]].start < _BEGINNING and verdict):
            listed |= set(whole)
    return [each for k, each in enumerate(found) if k not in listed]


def _goes_on(text: str, last: Mention, each: Mention) -> bool:
    """Whether a label continues a list: of a later option, and where labels began their lines, at
    the beginning of one.
    """
    starts = [text.rfind("\n", 0, one.start) + 1 for one in (last, each)]
    begins = [
        not re.search(r"\w", text[start : one.start])
        for start, one in zip(starts, (last, each), strict=True)
    ]
    broken = starts[0] != starts[1] and begins == [True, False]
    return min(each.options) > min(last.options) and not broken


def _before_run(text: str, found: Sequence[Mention], run: Sequence[int]) -> list[int]:
    """The first of a restated menu, where other words lead to it: "the options are A (stay), …"."""
    first = run[0] - 1
    if first < 0 or not _AFTER_LABEL.match(text[found[first].end : found[first].end + 8]):
        return []
    together = not re.search(r"[.!?\n]\s", text[found[first].end : found[run[0]].start])
    return [first] if together and max(found[first].options) < min(found[run[0]].options) else []


def _is_label(text: str, each: Mention) -> bool:
    before = lower(text[max(0, each.start - 16) : each.start])
    if each.start > 16:
        before = "…" + before
    if len(each.options) > 1 or not re.search(_BEFORE_LABEL, before):
        return False
    said, after = text[each.start : each.end], text[each.end : each.end + 8]
    if each.kind == "text":
        own_line = re.search(r"(?:\A|\n)[\W\d_]*\Z", before) and re.match(
            r"\W*(?:\n|\Z)|[\"']?(?:\s*:|\s[–—-])\s", after
        )
        return own_line is not None and len(said.split()) > 1
    return re.search(r"\w\W+\w", said) is not None or _AFTER_LABEL.match(after) is not None


def _joined(low: str, found: Sequence[Mention]) -> list[Mention]:
    """Options with "or", "and" or a slash between them as one mention of all of them."""
    made: list[Mention] = []
    for each in found:
        last = made[-1] if made else None
        if last is not None and _is_joined(low, last, each):
            made[-1] = Mention(last.start, each.end, last.options | each.options, last.kind)
        else:
            made.append(each)
    return made


def _is_joined(low: str, last: Mention, each: Mention) -> bool:
    rated = all(
        one.kind == "number" or (one.kind == "text" and re.search(r"\d", low[one.start : one.end]))
        for one in (last, each)
    )
    if rated and _NUMBER_JOIN.fullmatch(low, last.end, each.start):
        return True
    join = _JOIN.fullmatch(low, last.end, each.start)
    if join is None:
        return False
    goes_on = _VERB.match(low, each.end)  # "B, and A would hurt her"
    return not (goes_on and _AND.search(join.group()))


def _listed(low: str, found: Sequence[Mention]) -> list[Mention]:
    """Three options or more with commas between them as one mention of all of them."""
    runs: list[list[Mention]] = []
    for each in found:
        if runs and re.fullmatch(r"[\"']?,\s*[\"']?", low[runs[-1][-1].end : each.start]):
            runs[-1].append(each)
        else:
            runs.append([each])
    made: list[Mention] = []
    for run in runs:
        options = frozenset[int]().union(*(each.options for each in run))
        if len(run) > 1 and len(options) > 2:
            made.append(Mention(run[0].start, run[-1].end, options, run[0].kind))
        else:
            made += run
    return made


def _is_ticked(line: str) -> bool:
    """Whether a line has a tick, or ends with "– my choice" or the like."""
    if _TICK.search(line):
        return True
    ends = pattern(r"[–—(-]\s*([^):–—(-]*?<answers>)\W*\Z").search(lower(line))
    return ends is not None and says_nothing(blanked(ends.group(1), pattern("<answers>")))


def ticked(text: str, menu: NamedMenu) -> frozenset[int]:
    """The one option of a restated menu whose line has a tick or an arrow, or that alone is
    answered with a yes: "A? No. B? Yes."
    """
    several = len({k for each in every_mention(text, menu) for k in each.options}) > 1
    answered = [each.replace("?", ":") for each in _ASKED.findall(text)] if several else []
    for parts in (text.splitlines(), answered):
        ticks = (find_mentions(part, menu) for part in parts if _is_ticked(part))
        found = {k for mentions in ticks for each in mentions for k in each.options}
        if len(found) == 1:
            return frozenset(found)
    return frozenset()
