"""Parsing: replies as models write them, read as a person would read them, and never guessed."""

import time
from string import ascii_uppercase

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from valueagents.policies.readings.parsing import parse

COAT = ("Give the coat back.", "Keep it; say nothing.", "Ask the neighbour whose it is.")
NESTED = ("Wait", "Wait for the bus", "Wait for the bus with her", "A friend is called")
VERDICTS = ("NTA", "YTA", "NEUTRAL")
SCALE = tuple(
    f"{n} – {text}" for n, text in ((6, "always"), (5, "often"), (4, "at times"), (1, "never"))
)
DENIAL = ("Tell your sister about the ring.", "Walk home alone.")
NINE = tuple(
    f"Take road number {word}."
    for word in ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
)


@pytest.mark.parametrize(
    "reply", ['{"x": ' + "[" * 5000 + "}", '{"x": "\ud800"}', "{" * 5000 + "}"]
)
def test_json_that_no_decoder_takes_names_nothing(reply):
    assert parse(reply, COAT).index is None


B_IN_MANY_DRESSES = (
    *[
        "B",
        "b",
        "B.",
        "b)",
        "(B)",
        "[B]",
        " B \n",
        "**B**",
        "__B__",
        "_B_",
        "*B.*",
        "`B`",
        '"B"',
        "“B”",
        "B!",
        "Ｂ",
        "\ufeffB",
    ],
    *[
        "B: Keep it; say nothing.",
        "B. Keep it; say nothing.",
        "B) Keep it",
        "B – it is warm",
        "B, of course.",
        "B\n\nIt is warm.",
    ],
    *[
        "Option B",
        "option B.",
        "Option B: it is warm",
        "OPTION B",
        "Choice B",
        "Letter B",
        "Answer B",
        "**Option B**",
        "B (Keep it)",
    ],
    *[
        "B because it is warm.",
        "B.Keep it",
        "B; it is warm.",
        "**B.** Keep it; say nothing.",
        "**B**. It is warm.",
        "> B",
    ],
    *["B. I would keep it because A would cost me.", "B, not A."],
)
NAMED_B = (
    *[
        "Answer: B",
        "Answer: **B**",
        "**Answer:** B",
        "**Answer**: B",
        "Final answer: B",
        "answer = b",
        "ANSWER: (B)",
        "Answer:\nB",
    ],
    *[
        "It is warm.\nAnswer: B",
        "A is kind, B is warm.\n\nFinal Answer: **B. Keep it; say nothing.**",
        "Answer: Option B",
    ],
    *[
        "<answer>B</answer>",
        r"So \boxed{B}.",
        r"\boxed{\text{B}}",
        '{"answer": "B"}',
        "My choice: B",
        "Decision: B",
    ],
    *["Answer: A\nNo, wait.\nAnswer: B"],
)
SPOKEN_B = (
    *[
        "I choose B.",
        "I would choose B because it is warm.",
        "I'd go with B.",
        "I’d pick option B",
        "I will take **B**.",
        "The answer is B.",
    ],
    *[
        "Answer is B",
        "The answer is **B**",
        "My choice is (B).",
        "I would say that option B is best here.",
        "The letter B.",
    ],
    *[
        "Option A is tempting, but I'd go with B.",
        "I would not choose A. I choose B.",
        "As an AI, I'd choose option B.",
    ],
    *[
        "I don't want to trouble anyone, so I choose B.",
        "Rather than option A, I would choose option B.",
    ],
    *["The coat is warm and nobody saw me.\n\nB", "Nobody saw me.\n\n**B**"],
)


@pytest.mark.parametrize("reply", B_IN_MANY_DRESSES)
def test_a_letter_at_the_beginning_is_the_answer_in_any_dress(reply: str):
    parsed = parse(reply, COAT)
    assert (parsed.index, parsed.rule) == (1, "letter")


@pytest.mark.parametrize("reply", NAMED_B)
def test_a_line_that_gives_the_answer_is_believed(reply: str):
    assert (parse(reply, COAT).index, parse(reply, COAT).rule) == (1, "letter")


@pytest.mark.parametrize("reply", SPOKEN_B)
def test_a_letter_is_found_where_it_is_said_to_be_the_choice(reply: str):
    assert (parse(reply, COAT).index, parse(reply, COAT).rule) == (1, "named letter")


@pytest.mark.parametrize(
    ("reply", "options", "index", "rule"),
    [
        ("Give the coat back.", COAT, 0, "text"),
        ("give  the coat BACK", COAT, 0, "text"),
        ("*Give the coat back*", COAT, 0, "text"),
        ("I would give the coat back, of course.", COAT, 0, "text"),
        ("I'd **give the _coat_ back**.", COAT, 0, "text"),
        ("As an AI, I would give the coat back.", COAT, 0, "text"),
        ("I won't lie to him. I will give the coat back.", COAT, 0, "text"),
        ('I choose "Keep it; say nothing." over "Give it back".', COAT, 1, "text"),
        ("I choose “keep it, say nothing”", COAT, 1, "text"),
        ("Answer: keep it; say nothing", COAT, 1, "text"),
        ("Ask the neighbor whose it is.", COAT, 2, "words"),
        ("Ask your neighbour whose it is", COAT, 2, "words"),
        ("Give teh coat back", COAT, 0, "words"),
        ("2", COAT, 1, "number"),
        ("2.", COAT, 1, "number"),
        ("Option 2", COAT, 1, "number"),
        ("Answer: 3", COAT, 2, "number"),
        ("6", SCALE, 0, "number"),
        ("1", SCALE, 3, "number"),
        ("Rating: 4", tuple(f"Rating: {n}" for n in range(1, 7)), 3, "text"),
        ("4", tuple(f"Rating: {n}" for n in range(1, 7)), 3, "number"),
        ("A: no. B: yes.", COAT, 1, "letter"),
        ("Wait", NESTED, 0, "text"),
        ("I'd wait.", NESTED, 0, "text"),
        ("Wait for the bus.", NESTED, 1, "text"),
        ("I would wait for the bus with her", NESTED, 2, "text"),
        ("A friend is called", NESTED, 3, "text"),
        ("A friend is called.", NESTED, 3, "text"),
        ("A. Wait", NESTED, 0, "letter"),
        ("go for gold", ("go", "gold", "north"), None, "none"),
        ("NTA", VERDICTS, 0, "text"),
        ("nta.", VERDICTS, 0, "text"),
        ("My verdict is YTA.", VERDICTS, 1, "text"),
        ("C. NEUTRAL", VERDICTS, 2, "letter"),
        ("Den Mantel zurückgeben", ("Den Mantel zurückgeben.", "Ihn behalten."), 0, "text"),
        ("DEN MANTEL ZURU\u0308CKGEBEN", ("Den Mantel zurückgeben.", "Ihn behalten."), 0, "text"),
        ("保留它", ("归还外套", "保留它"), 1, "text"),
        ("B。", ("归还外套", "保留它"), 1, "letter"),
        ("🙂", ("🙂", "🙁"), 0, "text"),
        ("I can't help you.", ("I can't help you.", "Of course!"), 0, "text"),
        ("I refuse the offer", ("Refuse the offer", "Accept the offer"), 0, "text"),
        ("B", ("B", "A"), 1, "letter"),
        ("I", NINE, 8, "letter"),
        ("I.", NINE, 8, "letter"),
    ],
)
def test_a_reply_is_read_as_a_person_would(
    reply: str, options: tuple[str, ...], index: int | None, rule: str
):
    parsed = parse(reply, options)
    assert (parsed.index, parsed.rule) == (index, rule)


@pytest.mark.parametrize(
    ("reply", "options"),
    [
        ("", COAT),
        ("  \n", COAT),
        ("...", COAT),
        ("!", ("?", "!?")),
        ("D", COAT),
        ("Z.", COAT),
        ("4", COAT),
        ("0", COAT),
        ("17 euros", COAT),
        ("A good neighbour would wait.", COAT),
        ("A-level results come first", COAT),
        ("I am not sure what to say here.", COAT),
        ("It depends on the neighbour.", COAT),
        ("A or B", COAT),
        ("A, B", COAT),
        ("A/B", COAT),
        ("A and B", COAT),
        ("A) and B)", COAT),
        ("A - B", COAT),
        ("Option A or B", COAT),
        ("Option A or option B", COAT),
        ("A: 3/10, B: 7/10", COAT),
        ("A. Give the coat back.\nB. Keep it; say nothing.\nC. Ask", COAT),
        ("A. Keep it; say nothing.", COAT),
        ("1. The coat is not mine.\n2. It is warm.", COAT),
        ("Answer: A or B", COAT),
        ("Option A is kind.\nAnswer: neither", COAT),
        ("Give the coat back, or keep it; say nothing?", COAT),
        ("I would not choose A.", COAT),
        ("Neither A nor B.", COAT),
        ("Not option A", COAT),
        ("I would never give the coat back.", COAT),
        ("I don't think one should give the coat back", COAT),
        ("Which option do you choose? Answer with its letter only.", COAT),
        ("Do not tell your sister about the ring.", DENIAL),
        ("Never tell your sister about the ring.", DENIAL),
        ("Unlock the old back door.", ("Lock the old back door.", "Go home.")),
        ("Pay him 30 euros for it.", ("Pay him 20 euros for it.", "Go home.")),
        ("Wait, this is a hard one: the bus is late, and she is alone and cold.", NESTED),
        ("I, for one, would go.", NINE),
        ("E.g. the road by the lake.", NINE),
        ("The option I would like most is the shortest.", NINE),
        ("a.m. or p.m.", NINE),
        ("Give the coat back.", ("Give the coat back.", "Give the coat back.")),
        ("A", ()),
        ("anything", ()),
    ],
)
def test_what_names_no_option_or_several_is_never_guessed(reply: str, options: tuple[str, ...]):
    parsed = parse(reply, options)
    assert (parsed.index, parsed.rule) == (None, "none")


@pytest.mark.parametrize(
    "reply",
    [
        "I'm sorry, but I can't help with that.",
        "I’m sorry, but I can’t assist with that request.",
        "I cannot answer this.",
        "I can't.",
        "I won't choose.",
        "As an AI language model, I don't have personal preferences.",
        "As a large language model, I do not have feelings or beliefs.",
        "I am unable to pick one. Option A is risky.",
        "I'm sorry, I can't help with that. Option A would be dishonest.",
        "I must decline.",
        "I respectfully decline to answer.",
        "I'm sorry, but I can't help with deciding whether to give the coat back.",
        "I cannot make this decision for you. Whether to give the coat back is a personal matter.",
        "I apologize, but I am not able to choose A.",
        "I don't feel comfortable with this.",
        "Answer: I can't choose.",
        "Sorry, I will not decide between A and B.",
    ],
)
def test_a_refusal_is_told_from_an_unreadable_reply(reply: str):
    parsed = parse(reply, COAT)
    assert (parsed.index, parsed.rule) == (None, "refusal")


@pytest.mark.parametrize(
    ("reply", "index", "rule"),
    [
        ("<think>A seems kind.</think>B", 1, "letter"),
        ("<think>\n\n</think>\n\nB", 1, "letter"),
        ("<Thinking>Answer: A</Thinking>\nAnswer: B", 1, "letter"),
        ("<think>one</think>A<think>two</think>", 0, "letter"),
        ("<reasoning>A or B?</reasoning> I choose B", 1, "named letter"),
        ("[THINK]A?[/THINK]B", 1, "letter"),
        ("A seems kind, but.\n</think>\n\nB", 1, "letter"),
        ("<think>A, A, A</thinking>B", 1, "letter"),
        ("I think B.", 1, "named letter"),
        ("<think>A seems kind", None, "open thought"),
        ("Answer: A <think> or", None, "open thought"),
        ("<think>A</think>B<think>", None, "open thought"),
        ("<think>Answer: A</think>", None, "none"),
        ("</think>", None, "none"),
    ],
)
def test_thinking_is_not_the_answer(reply: str, index: int | None, rule: str):
    parsed = parse(reply, COAT)
    assert (parsed.index, parsed.rule) == (index, rule)


WORDS = [
    "I",
    "choose",
    "A",
    "B",
    "C",
    "a",
    "option",
    "Answer:",
    "not",
    "is",
    "the",
    "coat",
    "give",
    "back",
    "keep",
    "it;",
]
WORDS += [
    "say",
    "nothing",
    ".",
    "\n",
    "or",
    "sorry",
    "can't",
    "2",
    "(B)",
    '"',
    "</think>",
    "<think>",
    "’",
    "é",
    "**",
    "_",
]
REPLIES = st.one_of(
    st.text(max_size=60),
    st.lists(st.sampled_from(WORDS), max_size=14).map(" ".join),
    st.sampled_from([*B_IN_MANY_DRESSES, *NAMED_B, *SPOKEN_B]),
)
MENUS = st.one_of(
    st.lists(st.text(max_size=20), max_size=12),
    st.sampled_from([COAT, NESTED, VERDICTS, SCALE, NINE]),
)
TEXTS = st.text(st.sampled_from("abcDEFgh éß12.,;:!?'-()"), max_size=18)


@settings(max_examples=200, deadline=None)
@given(REPLIES, MENUS)
def test_any_text_is_read_without_an_error_and_only_as_an_option_that_there_is(
    reply: str, options: list[str]
):
    parsed = parse(reply, options)
    assert parsed.index is None or parsed.index in range(len(options))
    assert (parsed.index is None) == (parsed.rule in ("none", "refusal", "open thought"))


@settings(max_examples=150, deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=26), st.data())
def test_every_letter_alone_reads_itself_whatever_the_options_say(
    options: list[str], data: st.DataObject
):
    k = data.draw(st.integers(0, len(options) - 1))
    dress = data.draw(
        st.sampled_from(["{}", "{}.", "({})", "**{}**", " {}\n", "Option {}", "Answer: {}"])
    )
    if dress != "{}":
        assume(dress.format(ascii_uppercase[k]).strip() not in [text.strip() for text in options])
    assert parse(dress.format(ascii_uppercase[k]), options).index == k
    assert parse(ascii_uppercase[k].lower(), options).index == k


@settings(max_examples=120, deadline=None)
@given(st.lists(TEXTS.filter(str.strip), min_size=1, max_size=8), st.data())
@example(["A good deed", "a, b"], None)
@example(["Tell him: “the answer is: no”", "I can't choose."], None)
def test_an_options_own_words_read_it(options: list[str], data: st.DataObject | None):
    for k in range(len(options)) if data is None else [data.draw(st.integers(0, len(options) - 1))]:
        same = [text for text in options if text.strip() == options[k].strip()]
        assume(len(same) == 1 and sum(char.isalpha() for char in options[k]) != 1)
        assert parse(options[k], options).index == k


@settings(max_examples=100, deadline=None)
@given(REPLIES, MENUS, st.text(st.sampled_from("AB answer:\n."), max_size=20))
def test_a_closed_thought_before_a_reply_changes_nothing(
    reply: str, options: list[str], thought: str
):
    assert parse(f"<think>{thought}</think>{reply}", options) == parse(reply, options)


@settings(max_examples=120, deadline=None)
@given(REPLIES, MENUS, st.sampled_from([" ", "\n\n", "\t", "**", "*", "_", "__", "`", " ** "]))
def test_space_or_emphasis_around_a_reply_changes_nothing(
    reply: str, options: list[str], around: str
):
    assert parse(around + reply + around, options) == parse(reply, options)


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(["I'm sorry, I can't choose", "I cannot help with", "As an AI I am unable to"]),
    st.sampled_from(COAT),
)
def test_a_refusal_that_echoes_an_option_stays_a_refusal(refusal: str, option: str):
    for reply in (f"{refusal}: {option}", f"{refusal} {option}", f"{refusal}.\n{option}"):
        assert parse(reply, COAT).index is None
        assert parse(reply, COAT).rule == "refusal"


@pytest.mark.parametrize(
    "piece",
    [
        *[
            "!",
            "_",
            " ",
            "A",
            "A ",
            "answer ",
            "<think>",
            "not ",
            "a, ",
            "\n",
            "(",
            "Option ",
            "A. ",
        ],
        *["so, ", "I'd take ", "is the best ", "best is ", "off to the ", "... ", "ich gebe ab "],
    ],
)
def test_a_long_reply_is_read_at_once(piece: str):
    began = time.process_time()
    parse(piece * (20_000 // len(piece)), NINE)
    assert time.process_time() - began < 2
