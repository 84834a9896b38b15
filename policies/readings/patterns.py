"""Patterns: what letters, numbers, quotations, denials and refusals look like in a reply."""

import re
from string import whitespace

TAG = r"(?:think|thinking|thought|reasoning)[>\]]"
THOUGHT = re.compile(rf"[<\[]{TAG}.*?[<\[]/{TAG}", re.DOTALL | re.IGNORECASE)
OPEN_THOUGHT = re.compile(rf"[<\[]{TAG}", re.IGNORECASE)
CLOSED_ONLY = re.compile(rf"\A.*[<\[]/{TAG}", re.DOTALL | re.IGNORECASE)
DRESS = whitespace + "*_`~"

FINAL = re.compile(
    r"<answer>([^<\n]+)|\\boxed\{(?:\\text\{)?([^{}\n]+)|"
    r"\b(?:answer|choice|decision)\b[\"'*_]*\s*(?:is)?\s*[*_]*[:=]\s*([^\n]+)",
    re.IGNORECASE,
)
WORD = r"(?:(?i:option|choice|answer|letter)\s+[\W_]*)?"
ENDS = r"(?=[\W_]*\Z|\s*[,:;!)\]}*\"”(\n]|\s*\.(?![A-Za-z]\.)|\s+[–—-]\s|\s+(?:because|since)\b)"
LETTER = re.compile(rf"\A[\W_]*{WORD}(?!I\s*,)([A-Za-z]){ENDS}")
BARE = re.compile(rf"[\W_]*{WORD}([A-Za-z])[\W_]*")
GOES_ON = r"(?!(?:because|since|as|for|and|or|over|here|is|so)\b)[a-z]"
ALONE = (  # "I would" and "A friend" are not letters
    rf"(?!I(?:\s*,|\s+[a-z])|A\s+{GOES_ON})[A-Z](?![\w'])"
)
MORE = re.compile(rf"[\s.):,*\]]*(?:\b(?:or|and)\b|[/&,–—-])?[\s(*\[]*(?:(?i:option)\s+)?({ALONE})")
LISTED = re.compile(
    r"(?:^[\W_]*|(?<=[,;.])\s*)([A-Z])[*_]*(?:\s*[):]|\.(?![A-Za-z]\.))", re.MULTILINE
)
JOINED = rf"(?:[\s,/*&)]+(?:(?:or|and)\s+)?(?:(?i:option)\s+)?[*(]*{ALONE})*"
NAMED = re.compile(
    r"\b(?:(?i:option|letter)[\"*_]*\s*[:=]?\s*[*_(\[\"“`]*((?!I\s+[a-z])[A-Z](?![\w'])"
    + JOINED
    + r")|"
    r"(?i:choice|answer|choose|chose|pick|select|take|go(?:ing)?\s+(?:with|for))[\"*_]*\s*(?:(?i:is)\b|[:=])?\s*"
    r"(?:(?i:option|letter)\s+)?[*_(\[\"“`]*(" + ALONE + JOINED + r"))"
)
NUMBER = re.compile(r"[\W_]*(?:(?i:option|choice|answer|number)\s+[\W_]*)?(\d{1,2})[\W_]*")
QUOTED = re.compile(r"[\"“”«]([^\"“”«»]{2,}?)[\"“”»]")

WILL = r"i(?:'d|'ll|\s+(?:would|will|choose|chose|pick|select|take))\b"
CLAUSE = re.compile(
    rf"[.:;!?\n]|\bbut\b|,\s*(?=(?:so|therefore|thus|hence)\b|{WILL})", re.IGNORECASE
)
DENIED = re.compile(
    r"n't\b|\b(?:not|never|cannot|neither|nor|without|against|avoid|unable|instead\s+of|rather\s+than|whether)\b"
)
WILLING = re.compile(rf"\b{WILL}|\b(?:choice|answer)\b")
DENIALS = frozenset(
    {"not", "never", "t", "cannot", "no", "without", "neither", "nor", "refuse", "avoid"}
)
OPPOSING = ("un", "dis", "in", "im", "non")
ANSWERING = (
    r"(?:answer|choose|decide|pick|select|help|assist|comply|engage"
    r"|participate|take\s+part|respond|recommend)\b"
)
REFUSAL = re.compile(
    r"\bi\s*(?:'m|\s+am)\s+(?:sorry(?!\s+(?:to|for|about|that))|unable|not\s+(?:able|comfortable))\b|"
    r"\bi\s+apologi[sz]e\b|\bas\s+an?\s+(?:ai|(?:large\s+)?language\s+model)\b|"
    rf"\bi\s+(?:\w+\s+){{0,2}}?(?:decline|refuse)(?:\s+to\s+{ANSWERING}|[.!,]|\Z)|"
    rf"\bi\s*(?:can\s*not|can't|won't|will\s+not|do\s+not|don't)\s*(?:(?:\w+\s+){{0,3}}?(?:{ANSWERING}|"
    r"(?:personal\s+)?(?:opinions?|preferences?|feelings|beliefs)\b)|(?:do|make)\s+(?:this|that|such|an?|the|any)\b|"
    r"feel\s+comfortable\b|[.!,]|\Z)",
    re.IGNORECASE,
)
