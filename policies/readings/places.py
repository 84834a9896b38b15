"""Places: where a mention stands in its sentence, and what the words around it make of it.

It may be denied, conditional or another's; said to be the choice, in words of choosing, by standing
alone, or by praise.
"""

import re

import msgspec

from valueagents.policies.readings.mentions import Mention
from valueagents.policies.readings.menu_words import NamedMenu
from valueagents.policies.readings.patterns import CONDITIONAL, blanked, pattern, says_nothing

PLAIN, ASIDE, PRAISE, RIVAL = 3, 2, 1, 0
"""How plainly: said to be the choice; with a comma after it, or perhaps; said to be the best; and
what is none, but leaves no other one plain: "maybe B", "otherwise B"."""

_FEW = 8
LONG, _LEFT_OUT = 400, "qqq"
_BUT = re.compile(r",?\s(?:(?:but|however|yet|aber|mais|pero|ma|но)\b|但)")
_NO = re.compile(
    r"[\"')\]*}]*\s*[:–—-]\s*(?:no(?!\s+\w+\s+(?:is|are|can|could|should|will|would)\b)"
    r"|nope|nein|(?:non|no|нет|不)(?=\s*(?:[,.;!\n]|\Z)))\b"
)
_CONCEDES = re.compile(
    r"\W*(?:(?:even )?though|although|even if|obwohl|auch wenn|même si|quoique|anche se|benché"
    r"|aunque|хотя)(?!\w)|\W*(?:虽然|尽管)"
)
"""After an answer, of what holds beside it: "a 4, though on bad days it's a 2"."""
_NEITHER_NOR = re.compile(r"\b(?:neither|ni|né|weder|ни)\b", re.IGNORECASE)
_OPENED = " \t\n:–—-(\"'*[=>→"
_AND_I = (
    r"(?<!\w)(?:so|and|but|und|aber|et|mais|y|pero|e|ma|и|но|а|also)\s+(?:therefore\s+|thus\s+)?"
    r"(?:i|ich|je|j'|yo|me|io|я)(?!\w)|(?<!\w)but(?!\w)|所以|但"
)


class MentionPlace(msgspec.Struct, frozen=True):
    """Where a mention stands, in lower case.

    `head` and `rest`: its sentence before and after it; `before` and `after`: up to the mentions
    beside it; `clause`: what belongs to it of `before`; `first`: nothing was said before its
    sentence; `words`, `text_words`: of the reply, of the mention; `labelled`: it begins with a
    label such as "B." or "2)".
    """

    mention: Mention
    head: str
    rest: str
    before: str
    after: str
    clause: str
    first: bool
    words: int
    text_words: int
    labelled: bool


def place_of(
    low: str,
    each: Mention,
    sentence: tuple[int, int],
    between: tuple[int, int],
    *,
    first: bool,
) -> MentionPlace:
    """The place of a mention in its sentence, between the mentions beside it."""
    before = _near(low[between[0] : each.start], end=True)
    return MentionPlace(
        mention=each,
        head=_near(low[sentence[0] : each.start], end=True),
        rest=_near(low[each.end : sentence[1]], end=False),
        before=before,
        after=_near(low[each.end : between[1]], end=False),
        clause=_clause(before),
        first=first,
        words=len(low[: LONG * 2].split()),
        text_words=len(low[each.start : each.end].split()),
        labelled=re.match(r"\w(?:[.):]\s|。)", low[each.start :]) is not None,
    )


def _near(said: str, *, end: bool) -> str:
    """The end or the beginning of a very long text, with a word in place of what is left out."""
    if len(said) <= LONG:
        return said
    return f"{_LEFT_OUT} {said[-LONG:]}" if end else f"{said[:LONG]} {_LEFT_OUT}"


def _clause(before: str) -> str:
    """The part of a sentence that a mention stands in, up to the mention."""
    said = before.rstrip(_OPENED)
    cuts = [match.end() for match in re.finditer(r",(?!\s*(?:dass|что)\b)|[:;–—(]|\s-\s|→", said)]
    cuts += [match.start() for match in re.finditer(_AND_I, said)]
    return before[max(cuts, default=0) :]


def since_turn(said: str) -> str:
    """What is said since the last "but" or "so"."""
    ends = [match.end() for match in pattern("<turn>").finditer(said)]
    return said[ends[-1] :] if ends else said


def is_rated(place: MentionPlace, menu: NamedMenu) -> bool:
    """Whether "I", or the statement, is said to be what a point of the scale says: "I agree with
    it".
    """
    if not menu.scale or (place.mention.kind != "text" and place.text_words < 2):
        return False
    said = blanked(place.clause, pattern("<persons,rated,copulas,clitics,adverbs,particles>"))
    ends = pattern(
        r"\W*(?:[.,;:!\n–—-]|\Z|<rated,because,turn>|(?:that|dass|que|che|что)\s)"
    ).match(place.rest)
    return says_nothing(blanked(said, pattern("<denial>"))) and ends is not None


def is_denied(place: MentionPlace, menu: NamedMenu) -> bool:
    """Whether it is said not to be chosen; an option's own "neither … nor" denies nothing."""
    if any(_NEITHER_NOR.search(menu.texts[option]) for option in place.mention.options):
        return False  # "non sono né d'accordo né in disaccordo"
    stated = place.mention.kind == "number" and place.before.rstrip()[-1:] in ":–—-"
    if pattern("<denial,rejection,contrast>").search(place.clause) and not stated:
        return True
    if re.match(r"\s*的(?:人|理由|好处|坏处|缺点|优点|问题)", place.after):
        return True
    follows = pattern(r"[\s)\"]*<denial>").match(place.after)
    contrasts = re.fullmatch(r"[\s)\"]*\w+\s*[(\"]*", place.after)  # "B, not A"
    return follows is not None and contrasts is None


def is_conditional(place: MentionPlace) -> bool:
    """Whether it holds on a condition, other than that one has to choose."""
    said = blanked(since_turn(place.before), pattern("<forced>"))
    later = blanked(place.after, pattern("<forced>"))
    before = pattern(rf"{CONDITIONAL}|只有").search(said)
    would = r"\W*(?:<copulas>[^,.;:]*?\s)?<condition>"  # "B is right if she asks"
    if place.before != place.head and _CONCEDES.match(place.clause):
        return True
    return before is not None or pattern(would).match(later) is not None


def is_rival(place: MentionPlace) -> bool:
    """Whether it is what is taken in the other case: "otherwise B"."""
    tail = after_last("<otherwise>", place.before)
    return tail is not None and not pattern("<turn>").search(tail)


def is_elsewhere(place: MentionPlace) -> bool:
    """Whether it is what others would do, or what the model would do if it could."""
    if pattern(r"\A[^.;]*<unable>|\A\W*\"[\s,]*<others>\s").search(place.after):  # "…", she says
        return True
    wished = pattern("<wishes>").search(place.clause) and _BUT.match(place.rest)
    return bool(wished or pattern("<elsewhere>").search(since_turn(place.before)))


def is_bracketed_aside(place: MentionPlace) -> bool:
    """Whether it stands in brackets with other words: "(that would be B)"."""
    return re.search(r"\([^()]*\w[^()]*\Z", place.head) is not None


def is_spoken(place: MentionPlace) -> bool:
    """Whether a word of choosing claims it, or that the best or the answer is said to be it."""
    roles = "<chosen,intention>" if place.mention.kind == "text" else "<chosen>"
    tail = after_last(roles, place.clause)
    if tail is not None and is_particle(tail):
        return True
    later = place.after.lstrip(' )"]')
    if pattern("<infinitives>").match(later) and re.search("ich|würde|werde|habe", place.clause):
        return True
    return _is_named(place.clause) or _is_in_brackets(place)


def after_last(roles: str, clause: str) -> str | None:
    """What follows the last word of these roles; None if there is none. "Ich würde" waits for its
    verb.
    """
    found = [match for match in pattern(roles).finditer(clause) if "würd" not in match.group()]
    return clause[found[-1].end() :] if found else None


def is_particle(tail: str) -> bool:
    """Whether words after a word of choosing only lead to what is chosen: "with", "for the"."""
    return says_nothing(blanked(tail, pattern("<particles,rated>")))


def _is_named(clause: str) -> bool:
    """Whether a clause says "the best is", "my choice would be", "the answer:"."""
    be = list(pattern("<copulas>").finditer(clause))
    if be and is_particle(clause[be[-1].end() :]):
        return pattern("<praise,answers>").search(clause[: be[-1].start()]) is not None
    tail = after_last("<praise,answers>", clause)
    return tail is not None and re.fullmatch(r"\W*[–—:=→-]\W*", tail) is not None


def _is_in_brackets(place: MentionPlace) -> bool:
    """Whether a letter in brackets follows what is chosen: "I would give it back (B)"."""
    if place.mention.kind == "text" or not pattern(r"[(\[]\s*(?:<options>\s*)?\Z").search(
        place.head
    ):
        return False
    if not pattern(r"[)\]]\s*(?:[.,;!:\n–—-]|\Z|<because,contrast,than>)").match(place.rest):
        return False
    said = re.split(r"[(\[][^(\[]*\Z", place.before)[0]
    meant = pattern("<intention>|<praise,answers>.*<copulas>|<copulas>.*<praise,answers>")
    return bool(meant.search(said)) and not pattern("<denial,rejection,contrast>").search(said)


def is_whole(place: MentionPlace, menu: NamedMenu) -> bool:
    """Whether a short text ends there: "I'd wait for her" does not name "Wait"."""
    if not _is_loose_word(place, menu):
        return True
    if says_nothing(place.rest):
        return True
    ends = pattern(
        r"\s*(?:[.,;:!?)\"\n(–—-]|\Z)|\s+(?!for\b)<because>"
        r"|\s+(?:(?:with|on) (?:this|that|it|the \w+)|here|hier|ici|aquí|qui|здесь|тут)\b"
        r"|\s+(?:first|now|today|then|too|instead)\b"
    ).match(place.rest)
    return ends is not None


def _is_loose_word(place: MentionPlace, menu: NamedMenu) -> bool:
    each = place.mention
    single = any(menu.loose(option) for option in each.options)
    return each.kind == "text" and single


def unspoken_rank(place: MentionPlace, menu: NamedMenu) -> int:
    """How plainly a mention is claimed by where it stands, 0 = not at all."""
    opens = place.first and not re.search(r"\w", place.head)
    if opens and place.labelled and not _NO.match(place.rest):
        return PLAIN
    own = pattern(r"<besides>\W*\Z").search(place.head) is None
    if own and _is_last_word(place, menu) and is_whole(place, menu):
        return PLAIN
    if own and is_whole(place, menu):
        rank = _leading_rank(place, menu)
        if rank:
            return rank
    return PRAISE if _is_praised(place) else 0


def _is_last_word(place: MentionPlace, menu: NamedMenu) -> bool:
    """Whether a sentence is nothing but it, or has come to it after a pause or "so"."""
    rest, head = place.rest, place.head
    if not says_nothing(rest):
        return False
    if pattern("<copulas>").search(rest) and not pattern("<winning>").search(rest):
        return False
    if says_nothing(head):
        return True
    turns = [match.end() for match in pattern("<turn>").finditer(head)]
    if turns and says_nothing(head[turns[-1] :]):
        return True
    since = since_turn(blanked(head, pattern("<forced>")))
    contrasted = place.before != head  # "Not A: B"
    if pattern("<condition>").search(since):
        return False
    rates = place.mention.kind in ("number", "code")
    if not (contrasted or rates) and pattern("<denial,rejection>").search(since):
        return False
    said = head.rstrip(_OPENED)
    tail = re.split(r"[,:–—]|\s-\s|\.\.\.|、|→|=>", said)[-1]
    return head.rstrip()[-1:] in ":–—-→>" or (tail != said and says_nothing(tail))


def _leading_rank(place: MentionPlace, menu: NamedMenu) -> int:
    """The rank of what begins a sentence, or a part of it with a reason, by what follows it."""
    rest = place.rest
    part = since_turn(re.split(r"[,;–—]", place.head)[-1])
    if not says_nothing(place.head):
        reasoned = pattern(r"\s*,?\s*<because>").match(rest)
        if not reasoned or part == place.head or not says_nothing(part):
            return 0
        reworded = pattern("<reworded>").search(part) and pattern("<denial>").search(place.head)
        return 0 if reworded else PLAIN
    if place.mention.kind == "text" and _is_described(rest):
        return 0
    reasoned = pattern(r"[\"')\]*}]*\s*[–—-]\s*<pronouns>").match(rest)
    full = PLAIN if place.first and not (reasoned and place.mention.kind == "text") else ASIDE
    if pattern(r"[)\]]+\s+(?!<follow>)\S|\.(?=\w)").match(rest):
        return full
    mark = pattern(
        r"([^,:;–—(\n]*?)(?:(,?\s*<because>|<contrast,turn,than>|[–—:(\n/]|\s-\s|->|→)|(,))"
    ).match(rest)
    if mark is None or not says_nothing(mark.group(1)):
        return 0
    if pattern("<copulas>").search(mark.group(1)) or _NO.match(rest):
        return 0
    if mark.group(3) is None:
        return full
    if place.after != rest and says_nothing(place.after):  # "A, B": another one follows
        return PLAIN
    several = place.text_words > 2 and not pattern(r",\s*(?:\w+\s)?<copulas>").match(rest)
    return ASIDE if several or place.words <= _FEW or not _is_loose_word(place, menu) else 0


def _is_described(rest: str) -> bool:
    """Whether something is said of it after a dash: "оставить деньги – это кража"."""
    return pattern(r"[\"')\]*]*\s*[–—-]\s*(?:<copulas>)(?!\w)").match(rest) is not None


def _is_praised(place: MentionPlace) -> bool:
    rest = place.rest
    if _BUT.search(rest):
        return False
    if pattern("<rejection>").search(rest.split(",")[0]):
        return False
    words = r"(?:(?:l')?[^\W\d_'-]+\s+)"
    praised = pattern(
        rf"[\"')\]*]*,?\s*(?:<winning>|<copulas>\s+{words}{{0,4}}?<praise>"
        r"(?!\s+(?:than|als|que|che|чем)\b)|[—–-]\s*<praise>"
        rf"|(?:d(?:ie|er|as)\s+)?<praise>\s+{words}?<copulas>|更<praise>|最(?![差坏糟冷难贵不没])(?!残忍|危险|自私)|<copulas>\s*(?:我\s*的)?<praise>)"
    )
    if praised.match(rest):
        return True
    made = pattern(r"<makes>\W*(?:<options>\W*)?\Z").search(place.clause)
    return made is not None and pattern(rf"\W*{words}{{0,3}}?<praise>").match(rest) is not None
