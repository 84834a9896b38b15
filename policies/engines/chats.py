"""Chats become tokens, alike for every engine in this process: the model's template, and no control tokens in texts."""

from collections.abc import Sequence
from typing import Any

from valueagents.errors import PolicyError, PromptTooLong, first_line
from valueagents.policies.engines.engine import Chat, ScoreRequest
from valueagents.policies.models import ModelFiles

TEMPLATE_OPTIONS: dict[str, Any] = {
    "enable_thinking": False,  # Qwen3's template: the answer follows at once
    "date_string": "01 Jan 2025",  # Llama 3's template would put today's date into the prompt
}

Tokens = tuple[int, ...]


class ChatTokenizer:
    """A model's tokenizer and chat template. `window` is how many tokens the model takes, 0 = it does not say.

    `plain`: no template, messages one after another – as is done for models that have none.
    """

    def __init__(self, files: ModelFiles, *, plain: bool = False) -> None:
        import transformers

        try:
            self._tokenizer: Any = transformers.AutoTokenizer.from_pretrained(files.folder)
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise PolicyError(f"the tokenizer of {files.name!r} cannot be loaded: {first_line(error)}") from error
        self.window = files.window()
        self._plain = plain or self._tokenizer.chat_template is None
        named = set(self._tokenizer.all_special_tokens)
        unnamed = {str(token) for token in self._tokenizer.added_tokens_decoder.values() if token.special}
        self._control_tokens = tuple(sorted(named | unnamed))

    @property
    def end_token(self) -> int | None:
        """The token that ends an answer."""
        found: int | None = self._tokenizer.eos_token_id
        return found

    def encode(self, request: ScoreRequest) -> tuple[list[Tokens], list[Tokens]]:
        """The tokens of every chat and of every continuation.

        Raises PolicyError for a text that holds control tokens or makes no tokens, or a prompt longer than the window.
        """
        prompts = [self.prompt(chat) for chat in request.chats]
        answers = [self.answer(text) for text in request.continuations]
        self.fit(max(map(len, prompts)) + max(map(len, answers)) - 1)
        return prompts, answers

    def prompt(self, chat: Chat) -> Tokens:
        """The tokens of a chat up to where the answer begins."""
        self._refuse_control_tokens([message.content for message in chat])
        if self._plain:
            text = "\n\n".join(message.content for message in chat) + "\n"
            found = tuple(self._tokenizer(text).input_ids)
        else:
            found = tuple(self._tokenizer(self._rendered(chat), add_special_tokens=False).input_ids)
        if not found:
            raise PolicyError("the chat has no tokens: the model's chat template makes nothing of it")
        return found

    def answer(self, text: str) -> Tokens:
        """The tokens of a text as the assistant's answer."""
        self._refuse_control_tokens([text])
        found = tuple(self._tokenizer(text, add_special_tokens=False).input_ids)
        if not found:
            raise PolicyError("an option has no tokens: its text is empty for this tokenizer")
        return found

    def fit(self, tokens: int) -> None:
        """Raise PromptTooLong if this many tokens are more than the window."""
        if self.window and tokens >= self.window:
            raise PromptTooLong(
                f"prompt of {tokens} tokens, the model's window is {self.window}; nothing is cut in silence"
            )

    def text(self, tokens: Sequence[int]) -> str:
        """The text of generated tokens, without control tokens."""
        return str(self._tokenizer.decode(tokens, skip_special_tokens=True))

    def _refuse_control_tokens(self, texts: Sequence[str]) -> None:
        """Raise PolicyError if a text holds one: the tokenizer would read it as the end of a message, say."""
        for text in texts:
            for token in self._control_tokens:
                if token in text:
                    raise PolicyError(f"the text holds the model's control token {token!r}; it would rewrite the chat")

    def _rendered(self, chat: Chat) -> str:
        """The chat in the model's own template; the task joins the first question where it knows no system role."""
        import jinja2

        messages = [{"role": message.role, "content": message.content} for message in chat]
        options = {"tokenize": False, "add_generation_prompt": True, **TEMPLATE_OPTIONS}
        try:
            text = self._tokenizer.apply_chat_template(messages, **options)
        except jinja2.TemplateError:
            task, question, *rest = messages
            first = {"role": "user", "content": f"{task['content']}\n\n{question['content']}"}
            try:
                text = self._tokenizer.apply_chat_template([first, *rest], **options)
            except jinja2.TemplateError as error:
                raise PolicyError(f"the model's chat template refuses the chat: {first_line(error)}") from error
        return str(text)
