"""What a view becomes when it is put to a language model: every word of it, and nothing that is not
shown.
"""

from collections.abc import Callable
from importlib.resources import files
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from valueagents.contracts.decision import Option
from valueagents.contracts.plugins import make_policy
from valueagents.contracts.policy import Exchange, View
from valueagents.errors import ConfigError, PolicyError
from valueagents.identity import content_hash
from valueagents.policies.prompts import (
    AnswerForms,
    Prompt,
    bundled_prompts,
    load_prompt,
    prompt_names,
)
from valueagents.policies.prompts.templates import fill
from valueagents.policies.training.labels import PROMPT

OPEN = r'''open = "{observation}\n\nWhat do you do?"'''
NEUTRAL = 'neutral = "What do you do?"'
QUESTIONS = ("choose", "rate", "judge", "answer", "compare")
ANY_TEXT = st.one_of(
    st.text(max_size=40),
    st.lists(
        st.sampled_from(
            ["{", "}", "{observation}", "{options}", "{0}", "{{", "%s", "\n", "é", "A. "]
        ),
        max_size=6,
    ).map("".join),
)


def _view(
    observation: str = "It rains.", texts: tuple[str, ...] = ("Stay.", "Go."), **fields: object
) -> View:
    menu = tuple(Option(f"zqx{k}", text) for k, text in enumerate(texts))
    return View(
        **{
            "task": "Decide.",
            "transcript": (),
            "observation": observation,
            "menu": menu,
            "seed": 0,
            **fields,
        }
    )


def _prompt() -> Prompt:
    return load_prompt("choose-1")


def test_choose_1_lists_options_in_these_words():
    *_, question = _prompt().listing(_view(), _view().menu)
    assert question.role == "user"
    assert (
        question.content
        == "It rains.\n\nYour options:\nA. Stay.\nB. Go.\n\nWhich option do you choose? Answer with"
        " its letter only."
    )


def test_choose_1_asks_openly_in_these_words():
    assert _prompt().open_question(_view())[-1].content == "It rains.\n\nWhat do you do?"
    assert [m.content for m in _prompt().neutral_question(_view())] == [
        "Decide.",
        "What do you do?",
    ]


@settings(max_examples=60, deadline=None)
@given(ANY_TEXT, ANY_TEXT, st.lists(ANY_TEXT, min_size=1, max_size=4))
def test_texts_survive_whatever_they_hold(task: str, observation: str, texts: list[str]):
    view = _view(observation, tuple(texts), task=task)
    listed = "\n".join(f"{'ABCD'[k]}. {text}" for k, text in enumerate(texts))
    chat = _prompt().listing(view, view.menu)
    assert chat[0].content == task
    assert (
        chat[-1].content
        == f"{observation}\n\nYour options:\n{listed}\n\nWhich option do you choose? Answer with"
        " its letter only."
    )
    assert _prompt().open_question(view)[-1].content == f"{observation}\n\nWhat do you do?"


def test_options_are_listed_in_the_order_given_not_in_the_views():
    view = _view(texts=("Stay.", "Go.", "Hide."))
    listing = _prompt().listing(view, view.menu[1:] + view.menu[:1])[-1].content
    assert "A. Go.\nB. Hide.\nC. Stay." in listing


def test_an_open_question_holds_no_option():
    view = _view(texts=("Stay.", "Go."), transcript=(Exchange("Sun.", "Look."),))
    words = "\n".join(
        message.content
        for message in (*_prompt().open_question(view), *_prompt().neutral_question(view))
    )
    assert "Stay." not in words
    assert "Go." not in words


def test_a_neutral_question_holds_no_situation():
    view = _view("It rains.", transcript=(Exchange("Sun.", "Look."),))
    words = "\n".join(message.content for message in _prompt().neutral_question(view))
    assert "Decide." in words
    assert not any(text in words for text in ("It rains.", "Sun.", "Look."))


def test_no_option_id_is_shown():
    view = _view(transcript=(Exchange("Sun.", "Look."),))
    chats = (
        _prompt().listing(view, view.menu),
        _prompt().open_question(view),
        _prompt().neutral_question(view),
    )
    assert "zqx" not in "".join(message.content for chat in chats for message in chat)


@pytest.mark.parametrize("turns", [0, 1, 3])
def test_a_chat_is_the_task_then_user_and_assistant_in_turn(turns: int):
    view = _view(transcript=tuple(Exchange(f"saw {t}", f"did {t}") for t in range(turns)))
    for chat, after in (
        (_prompt().listing(view, view.menu), ""),  # of these turns the menus are not known
        (_prompt().open_question(view), "\n\nWhat do you do?"),
    ):
        assert [m.role for m in chat] == ["system", *["user", "assistant"] * turns, "user"]
        expected = [said for t in range(turns) for said in (f"saw {t}{after}", f"did {t}")]
        assert [m.content for m in chat[:-1]] == ["Decide.", *expected]


def test_the_transcript_of_a_later_turn_begins_with_that_of_an_earlier_one():
    exchanges = tuple(Exchange(f"saw {t}", f"did {t}") for t in range(4))
    views = [_view(f"saw {t}", transcript=exchanges[:t]) for t in range(4)]
    for earlier, later in pairwise(views):
        before = _prompt().listing(earlier, earlier.menu)[:-1]
        assert _prompt().listing(later, later.menu)[: len(before)] == before


def _turns(*taken: int | None) -> tuple[Exchange, ...]:
    """Earlier turns with two options each; `taken` None: the answer was not on the menu."""
    menu = (Option("a", "Sit."), Option("b", "Run."))
    return tuple(
        Exchange(f"saw {t}", menu[k].text if k is not None else "(nothing)", menu, k)
        for t, k in enumerate(taken)
    )


def test_earlier_turns_are_in_the_form_that_the_question_asks_for():
    view = _view(transcript=_turns(1, 0, None))
    listed, letter, *_ = (m.content for m in _prompt().listing(view, view.menu)[1:])
    assert "A. Sit.\nB. Run." in listed
    assert listed.endswith("Answer with its letter only.")
    answers = [m.content for m in _prompt().listing(view, view.menu) if m.role == "assistant"]
    assert (letter, answers) == ("B", ["B", "A", "(nothing)"])
    thought = [m.content for m in _prompt().spoken(view, reasoning=True) if m.role == "assistant"]
    assert thought == ["Answer: B", "Answer: A", "(nothing)"]
    asked, text, *_ = (m.content for m in _prompt().open_question(view)[1:])
    assert (asked, text) == ("saw 0\n\nWhat do you do?", "Run.")
    command, typed, *_ = (m.content for m in _prompt().free(view)[1:])
    assert (command, typed) == (f"{asked} {_prompt().answers.command}", "Run.")


def test_a_later_prompt_begins_with_the_whole_of_the_one_before_it():
    turns = _turns(1, 0, 1)
    menu = turns[0].menu
    for form in (Prompt.open_question, Prompt.free, lambda p, v: p.listing(v, menu)):
        for t in range(3):
            earlier = View("Decide.", turns[:t], f"saw {t}", menu, 0)
            later = View("Decide.", turns[: t + 1], f"saw {t + 1}", menu, 0)
            before = form(_prompt(), earlier)
            assert form(_prompt(), later)[: len(before)] == before


def test_a_prompt_that_judges_may_name_the_verdicts_in_a_row():
    view = _view(texts=("NTA", "YTA", "NEUTRAL"))
    prompt = load_prompt("judge-5")
    assert "between NTA, YTA or NEUTRAL." in prompt.open_question(view)[-1].content
    assert "between NTA, YTA or NEUTRAL." in prompt.neutral_question(view)[-1].content


@pytest.mark.parametrize("asks", QUESTIONS)
def test_every_question_has_paraphrases_enough_and_no_two_are_one_wording(asks):
    prompts = bundled_prompts(asks)
    assert len(prompts) >= 5
    assert len({prompt.wording() for prompt in prompts}) == len(prompts)
    assert {prompt.asks for prompt in prompts} == {asks}
    one = prompts[0]
    spoken = msgspec.structs.replace(one.answers, letter="Another form.")
    assert msgspec.structs.replace(one, answers=spoken).wording() == one.wording()


@pytest.mark.parametrize("language", ["de", "fr", "it", "es"])
def test_a_question_is_put_in_its_language_in_as_many_paraphrases_as_in_english(language):
    english, own = bundled_prompts("answer"), bundled_prompts("answer", language=language)
    assert [prompt.id for prompt in own] == [f"{prompt.id}-{language}" for prompt in english]
    assert {prompt.language for prompt in own} == {language}
    assert len({prompt.wording() for prompt in own}) == len(own)
    for one, other in zip(own, english, strict=True):
        assert one.hash() != other.hash()
        assert not set(msgspec.structs.astuple(one.answers)) & set(
            msgspec.structs.astuple(other.answers)
        )
        assert '"Answer: "' in one.answers.reasoning  # what the reading looks for


def test_a_language_without_prompts_of_its_own_is_asked_in_english():
    assert bundled_prompts("answer", language="tr") == bundled_prompts("answer")
    assert bundled_prompts("compare", language="de") == bundled_prompts("compare")


def test_the_language_is_no_part_of_an_english_prompts_identity():
    prompt = load_prompt("choose-2")
    words = {k: v for k, v in msgspec.to_builtins(prompt).items() if k != "language"}
    assert prompt.hash() == content_hash(words)


def _forms(prompt: Prompt) -> set[str]:
    return {*msgspec.structs.astuple(prompt.answers), prompt.option}


def _questions(prompt: Prompt) -> set[str]:
    """What a prompt adds to the situation, piece by piece."""
    pieces = {piece for text in (prompt.open, prompt.listed) for piece in text.split("\n\n")}
    return {piece.removesuffix("\n{options}") for piece in pieces} - {"{observation}"}


@pytest.mark.parametrize("asks", QUESTIONS)
def test_training_sees_no_wording_and_no_form_of_the_answer_of_any_evaluation(asks):
    trained = bundled_prompts(asks, "training")
    assert trained
    for each in trained:
        for question in QUESTIONS:
            for held_out in bundled_prompts(question):
                assert not _forms(each) & _forms(held_out), (each.id, held_out.id)
                assert not _questions(each) & _questions(held_out), (each.id, held_out.id)


def test_the_words_that_adapters_are_trained_in_are_training_prompts():
    assert load_prompt(PROMPT).use == "training"


def test_the_whole_alphabet_can_be_listed():
    view = _view(texts=tuple(f"Do {k:02d}." for k in range(26)))
    lines = _prompt().listing(view, view.menu)[-1].content.splitlines()
    assert lines[3:29] == [
        f"{letter}. Do {k:02d}." for k, letter in enumerate("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    ]


def test_more_options_than_letters_are_a_policy_error_with_both_numbers():
    view = _view(texts=tuple(f"Do {k}." for k in range(27)))
    with pytest.raises(PolicyError, match=r"27.*26|26.*27"):
        _prompt().listing(view, view.menu)


@pytest.mark.parametrize("typo", ["choose1", "chose-1", "Choose-1"])
def test_an_unknown_prompt_is_answered_with_the_nearest(typo: str):
    with pytest.raises(ConfigError, match=rf"prompt '{typo}'.*Did you mean 'choose-1'"):
        load_prompt(typo)


@pytest.mark.parametrize("name", ["", "../prompts/choose-1", "choose-1.tml", "__init__"])
def test_what_is_neither_an_id_nor_a_toml_file_does_not_name_a_prompt(name: str):
    with pytest.raises(
        ConfigError, match=r"unknown prompt .* Known: choose-1 to choose-7, .*, or a \.toml file\."
    ):
        load_prompt(name)


def test_a_prompts_hash_depends_on_every_word():
    answers = AnswerForms("Letter.", "Think.", "Command.")
    listed, line = "{observation} {options}", "{label} {text}"
    prompt = Prompt("p", "choose", "{observation}", listed, line, "?", answers)
    replace = msgspec.structs.replace
    changed = [
        replace(prompt, id="q"),
        replace(prompt, asks="rate"),
        replace(prompt, open="{observation}!"),
        replace(prompt, listed="{observation}: {options}"),
        replace(prompt, option="{label}) {text}"),
        replace(prompt, neutral="!"),
        replace(prompt, neither="Nothing."),
        *(
            replace(prompt, answers=replace(answers, **{form: "Other."}))
            for form in ("letter", "reasoning", "command")
        ),
    ]
    assert len({prompt.hash(), *(other.hash() for other in changed)}) == 1 + len(changed)


def test_a_bundled_prompt_knows_its_own_id():
    for name in prompt_names():
        assert load_prompt(name).id == name


@pytest.fixture
def own(tmp_path: Path) -> Callable[..., Path]:
    """Writes choose-1 with some of its words exchanged."""
    text = (
        files("valueagents.policies.prompts")
        .joinpath("choose", "choose-1.toml")
        .read_text(encoding="utf-8")
    )

    def write(before: str = "", after: str = "") -> Path:
        assert before in text
        file = tmp_path / "own.toml"
        file.write_text(text.replace(before, after), encoding="utf-8")
        return file

    return write


def test_a_prompt_in_a_file_of_the_users_is_read_and_called_by_its_content(
    own: Callable[..., Path],
):
    assert load_prompt(str(own())) == load_prompt("choose-1")
    changed = load_prompt(str(own("Which option do you choose?", "Nun?")))
    assert changed.hash() != load_prompt("choose-1").hash()
    assert changed.listing(_view(), _view().menu)[-1].content.endswith(
        "Nun? Answer with its letter only."
    )


def test_a_file_is_not_mistaken_for_the_bundled_prompt_of_its_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        ConfigError, match=r"prompt file 'choose-1\.toml' cannot be read: No such file"
    ):
        load_prompt("choose-1.toml")


def test_braces_are_written_twice(own: Callable[..., Path]):
    prompt = load_prompt(str(own(OPEN, OPEN.replace("What do you do?", "{{Now}} what?"))))
    assert prompt.open_question(_view("{x}"))[-1].content == "{x}\n\n{Now} what?"


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        (OPEN, 'open = "What?"', r"open: \{observation\} is missing"),
        ("{label}. {text}", "{label}.", r"option: \{text\} is missing"),
        (NEUTRAL, 'neutral = "{observation}?"', r"neutral: \{observation\} cannot be filled in, only \{options\}"),
        ("{options}", "{option}", r"listed: \{option\} cannot be filled in, only \{observation\}, \{options\}"),
        ("Answer with its letter only.", "{label}!", r"letter: \{label\} cannot be filled in, only no place.*\$\.answers"),
        ("{observation}", "{observation.__class__}", r"open: \{observation\.__class__\} is refused"),
        ("{observation}", "{observation[0]}", r"\{observation\[0\]\} is refused"),
        ("{observation}", "{observation!r}", r"\{observation\} is refused"),
        ("{observation}", "{observation:>9}", r"\{observation\} is refused"),
        ("{observation}", "{}", r"\{\} is refused"),
        ("{observation}", "{0}", r"\{0\} is refused"),
        ("{observation}", "{observation", r"open: .*a place is a name in braces; write \{\{ and \}\}"),
        ('id = "choose-1"', "", r"missing required field `id`"),
        ('id = "choose-1"', "id = 3", r"Expected `str`, got `int` - at `\$\.id`"),
        ('asks = "choose"', 'asks = "chose"', r"Invalid enum value 'chose' - at `\$\.asks`"),
        ("[answers]", "[answer]", r"contains unknown field `answer`|missing required field `answers`"),
        ("[answers]", "[answers", r"is not TOML"),
    ],
)  # fmt: skip
def test_a_malformed_prompt_is_one_line_that_names_file_and_field_before_a_model_is_looked_for(
    own: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, before: str, after: str, message: str
):
    monkeypatch.setattr(
        "valueagents.policies.engines.local.find_model", lambda *_: pytest.fail("looked")
    )
    file = own(before, after)
    with pytest.raises(ConfigError, match=message) as raised:
        make_policy(f"transformers:smollm2-135m?prompt={file}")
    assert str(file) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_file_that_is_not_text_is_not_a_prompt(tmp_path: Path):
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\0")
    with pytest.raises(ConfigError, match=r"binary\.toml', line 1: not UTF-8 text"):
        load_prompt(str(tmp_path / "binary.toml"))


@given(ANY_TEXT)
@settings(max_examples=100, deadline=None)
def test_what_is_filled_in_is_never_read_as_a_template(text: str):
    assert fill("<{a}{{}}{b}>", a=text, b="!") == f"<{text}{{}}!>"
