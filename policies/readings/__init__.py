"""Reading modes: how a choice is read from a language model: probabilities of letters or of texts,
or its words.
"""

from valueagents.policies.readings.finding import READINGS, known_readings, load_reading
from valueagents.policies.readings.label import LabelReading
from valueagents.policies.readings.likelihood import LikelihoodReading
from valueagents.policies.readings.mode import Question, ReadingMode
from valueagents.policies.readings.sample import SampleReading
from valueagents.policies.readings.say import SayReading
from valueagents.policies.readings.scored import Reading, ScoreReading
from valueagents.policies.readings.sentences import SentencesReading
from valueagents.policies.readings.top import TopReading

__all__ = [
    "READINGS",
    "LabelReading",
    "LikelihoodReading",
    "Question",
    "Reading",
    "ReadingMode",
    "SampleReading",
    "SayReading",
    "ScoreReading",
    "SentencesReading",
    "TopReading",
    "known_readings",
    "load_reading",
]
