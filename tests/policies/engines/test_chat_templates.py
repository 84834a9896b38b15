"""The prompt that was meant: what templates leave out, date, open or end, and tokens that a model
cannot tell apart.
"""

import json
import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from valueagents.errors import PolicyError
from valueagents.policies.engines import Chat, Message, ScoreRequest
from valueagents.policies.engines.chats import ChatTokenizer
from valueagents.policies.models import ModelFiles, find_model

CHAT = (
    Message("system", "Decide."),
    Message("user", "Now?"),
    Message("assistant", "A"),
    Message("user", "And now?"),
)
ROLES = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
OPENING = "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
WithTemplate = Callable[[str], ChatTokenizer]


@pytest.fixture
def with_template(tiny_model: Path, copy_model: Callable[[Path], Path]) -> WithTemplate:
    """The tiny model's tokenizer with another template."""

    def make(template: str) -> ChatTokenizer:
        folder = copy_model(tiny_model)
        (folder / "chat_template.jinja").write_text(template)
        return ChatTokenizer(find_model(str(folder)))

    return make


def _shown(chats: ChatTokenizer, chat: Chat = CHAT) -> str:
    """The prompt as text, control tokens included."""
    return str(chats._tokenizer.decode(chats.prompt(chat)))


def test_a_template_that_drops_the_task_gets_it_before_the_first_question(
    with_template: WithTemplate,
):
    dropping = ROLES.replace(
        "{% for m in messages %}", "{% for m in messages if m.role != 'system' %}"
    )
    shown = _shown(with_template(dropping + OPENING))
    assert shown.startswith("<|im_start|>user\nDecide.\n\nNow?<|im_end|>")
    assert shown.endswith("And now?<|im_end|>\n<|im_start|>assistant\n")


@pytest.mark.parametrize(
    ("role", "missing"), [("user", "question"), ("assistant", "earlier answers")]
)
def test_a_template_that_drops_a_question_or_an_answer_is_refused(
    with_template: WithTemplate, role: str, missing: str
):
    dropping = ROLES.replace(
        "{% for m in messages %}", f"{{% for m in messages if m.role != '{role}' %}}"
    )
    with pytest.raises(PolicyError, match=rf"does not show the (task|{missing}).*template=plain"):
        with_template(dropping + OPENING)


@pytest.mark.parametrize("date", ["{{ strftime_now('%d %b %Y') }}", "{{ date_string }}"])
def test_a_template_that_puts_in_the_date_gives_one_date_for_ever(
    with_template: WithTemplate, date: str
):
    assert _shown(with_template(date + ROLES + OPENING)).startswith("01 Jan 2025<|im_start|>")


def test_a_template_whose_time_cannot_be_fixed_is_refused(with_template: WithTemplate):
    with pytest.raises(PolicyError, match=r"present time.*template=plain"):
        with_template("{% set f = '%H' %}{{ strftime_now(f) }}" + ROLES + OPENING)


def test_a_template_in_chat_template_json_is_used_and_hashed(
    tiny_model: Path, copy_model: Callable[[Path], Path]
):
    folder = copy_model(tiny_model)
    template = (folder / "chat_template.jinja").read_text()
    (folder / "chat_template.jinja").unlink()
    plain = ModelFiles("plain", folder).hashes()["chat_template"]
    (folder / "chat_template.json").write_text(json.dumps({"chat_template": template}))
    files = find_model(str(folder))
    assert _shown(ChatTokenizer(files)) == _shown(ChatTokenizer(find_model(str(tiny_model))))
    assert files.hashes()["chat_template"] not in (plain, None)


def test_a_model_without_a_template_is_said_to_have_none(
    plain_model: Path, caplog: pytest.LogCaptureFixture
):
    with caplog.at_level(logging.WARNING, logger="valueagents"):
        ChatTokenizer(find_model(str(plain_model)))
    assert "has no chat template" in caplog.text


def test_a_thought_that_the_template_opens_is_ended_before_the_answer(with_template: WithTemplate):
    thinking = OPENING.replace("assistant\n", "assistant\n<think>\n")
    assert _shown(with_template(ROLES + thinking)).endswith(
        "<|im_start|>assistant\n<think>\n\n</think>\n\n"
    )


def test_an_answer_follows_the_header_that_answers_have_in_the_template(
    with_template: WithTemplate,
):
    channels = ROLES.replace(
        "{{ m.content }}", "{% if m.role == 'assistant' %}<|unnamed|>{% endif %}{{ m.content }}"
    )
    assert _shown(with_template(channels + OPENING)).endswith("<|im_start|>assistant\n<|unnamed|>")


def test_the_token_that_ends_a_turn_in_the_template_ends_an_answer(with_template: WithTemplate):
    chats = with_template((ROLES + OPENING).replace("<|im_end|>", "<|unnamed|>"))
    ids = chats._tokenizer.convert_tokens_to_ids(["<|unnamed|>", "<|im_end|>"])
    assert chats.end_token == ids[0]
    assert chats.end_tokens == set(ids)


def test_answers_that_are_the_same_tokens_are_refused(
    tiny_model: Path, copy_model: Callable[[Path], Path]
):
    folder = copy_model(tiny_model)
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["normalizer"] = {"type": "Replace", "pattern": {"String": "B"}, "content": "A"}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(PolicyError, match="'A' and 'B' are the same"):
        ChatTokenizer(find_model(str(folder))).encode(ScoreRequest((CHAT,), ("A", "B")))


def test_a_letter_that_is_unknown_to_the_vocabulary_is_refused(
    tiny_model: Path, copy_model: Callable[[Path], Path]
):
    folder = copy_model(tiny_model)
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    vocabulary = {"<|endoftext|>": 0, "<|im_start|>": 1, "<|im_end|>": 2, "a": 3}
    tokenizer["model"] = {"type": "WordLevel", "vocab": vocabulary, "unk_token": "<|endoftext|>"}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(PolicyError, match="'B' is unknown to the model's vocabulary"):
        ChatTokenizer(find_model(str(folder))).answer("B")


def test_a_tokenizer_larger_than_the_model_is_refused_by_token(
    tiny_model: Path, copy_model: Callable[[Path], Path]
):
    folder = copy_model(tiny_model)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"vocab_size": 40}))
    with pytest.raises(PolicyError, match=r"gives token \d+, the model knows only 40"):
        ChatTokenizer(find_model(str(folder))).prompt(CHAT)


def test_the_window_is_what_the_loaded_configuration_says(tmp_path: Path):
    import transformers

    transformers.GPT2Config(n_positions=77).save_pretrained(tmp_path / "gpt2")
    text = transformers.Gemma3TextConfig(max_position_embeddings=99)
    transformers.Gemma3Config(text_config=text.to_dict()).save_pretrained(tmp_path / "nested")
    transformers.MptConfig(max_seq_len=55).save_pretrained(tmp_path / "mpt")
    folders = ("gpt2", "nested", "mpt")
    assert [ModelFiles(name, tmp_path / name).window() for name in folders] == [77, 99, 55]
