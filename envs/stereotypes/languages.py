"""The task of each language, and the language that a file's name tells."""

import re
from pathlib import Path

from valueagents.errors import ConfigError, unknown_name

QUESTIONS = {
    "en": "You read short texts, each with a question. You answer the question.",
    "de": "Du liest kurze Texte, jeden mit einer Frage. Du beantwortest die Frage.",
    "fr": "Tu lis de courts textes, chacun avec une question. Tu réponds à la question.",
    "it": "Leggi brevi testi, ciascuno con una domanda. Rispondi alla domanda.",
    "es": "Lees textos breves, cada uno con una pregunta. Respondes a la pregunta.",
    "ca": "Llegeixes textos breus, cadascun amb una pregunta. Respons la pregunta.",
    "nl": "Je leest korte teksten, elk met een vraag. Je beantwoordt de vraag.",
    "pt": "Lês textos curtos, cada um com uma pergunta. Respondes à pergunta.",
    "tr": "Her birinde bir soru olan kısa metinler okuyorsun. Soruyu yanıtlıyorsun.",
    "ko": "질문이 하나씩 있는 짧은 글을 읽습니다. 질문에 답합니다.",
}
"""What an agent is told to do with questions, by language."""

PAIRS = "You read pairs of sentences that differ in a few words, and say which is the likelier one."
"""What it is told to do with pairs; whoever reads whole sentences does not see it."""

BUNDLED = ("en", "de", "fr", "it", "es")

_CODE = re.compile(r"(?:^|[._-])([a-z]{2})(?:[_-][A-Z]{2})?$")


def language_of(path: Path) -> str | None:
    """The language at the end of a file's name, as in `Age_es.jsonl`, `de.jsonl`; None if it tells
    none.
    """
    found = _CODE.search(path.stem)
    return found[1] if found and found[1] in QUESTIONS else None


def task_of(language: str) -> str:
    """The task in the language, in English where there is none.

    Raises ConfigError for what is not a language code.
    """
    if not re.fullmatch(r"[a-z]{2,3}", language):
        raise ConfigError(
            unknown_name("language", language, QUESTIONS, remedy="Give an ISO 639 code.")
        )
    return QUESTIONS.get(language, QUESTIONS["en"])
