"""A tiny random llama in a folder, and the plainest way of asking it."""

import asyncio
import shutil
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from valueagents.contracts.decision import Option
from valueagents.contracts.policy import View
from valueagents.policies.engines import Chat, ScoreReply, ScoreRequest

if TYPE_CHECKING:
    import tokenizers
    import torch

WINDOW = 512
START, END, TEXT_END, UNNAMED = "<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|unnamed|>"
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content']"
    " }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
CORPUS = [
    "You meet situations that call for a decision. In each, decide what you do.",
    "Your options:\nA. Give the coat back.\nB. Keep the coat.\n\nWhich option do you choose?",
    "What do you do? Answer with its letter only. The system, the user and the assistant agree.",
]


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a llama with 2 layers and random weights, the same bytes every time."""
    import tokenizers
    import torch
    import transformers

    torch.set_num_threads(2)
    folder = tmp_path_factory.mktemp("models") / "tiny"
    backend = tokenizers.Tokenizer(tokenizers.models.BPE())
    backend.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = tokenizers.decoders.ByteLevel()
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    backend.train_from_iterator(
        CORPUS,
        tokenizers.trainers.BpeTrainer(
            vocab_size=400,
            special_tokens=[TEXT_END, START, END],
            initial_alphabet=alphabet,
            show_progress=False,
        ),
    )
    backend.add_special_tokens(
        [UNNAMED]
    )  # special for the tokenizer, but neither bos, eos nor any named token
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token=START,
        eos_token=END,
        unk_token=TEXT_END,
        chat_template=TEMPLATE,
    )
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=32,
        max_position_embeddings=WINDOW,
        initializer_range=0.2,  # large, so that what stands far back in a prompt moves its logits
        bos_token_id=1,
        eos_token_id=2,
    )
    with torch.random.fork_rng():
        torch.manual_seed(20)
        transformers.LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def plain_model(tiny_model: Path, copy_model: Callable[[Path], Path]) -> Path:
    """The same model without a chat template."""
    folder = copy_model(tiny_model)
    (folder / "chat_template.jinja").unlink()
    return folder


@pytest.fixture(scope="session")
def copy_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Path]:
    """Copies a model's folder to another path, to be changed there."""
    return lambda folder: Path(shutil.copytree(folder, tmp_path_factory.mktemp("copies") / "model"))


@pytest.fixture(scope="session")
def ask() -> Callable[..., list[ScoreReply]]:
    """Puts requests to a freshly loaded engine, all at once."""
    from valueagents.policies.engines.transformers.engine import TransformersEngine

    async def load_and_ask(
        folder: Path, requests: Sequence[ScoreRequest], options: dict[str, Any]
    ) -> list[ScoreReply]:
        adapters = options.pop("adapters", ())
        async with TransformersEngine(
            str(folder), TransformersEngine.Options(**options), adapters
        ) as engine:
            return await asyncio.gather(*(engine.score(request) for request in requests))

    return lambda folder, *requests, **options: asyncio.run(load_and_ask(folder, requests, options))


@pytest.fixture(scope="session")
def prompt_ids() -> Callable[[Path, Chat], list[int]]:
    """The tokens of a chat, rendered here by hand."""
    tokenizer = cache(_tokenizer)

    def render(folder: Path, chat: Chat) -> list[int]:
        text = "\n\n".join(message.content for message in chat) + "\n"
        if (folder / "chat_template.jinja").exists():
            text = "".join(f"{START}{message.role}\n{message.content}{END}\n" for message in chat)
            text += f"{START}assistant\n"
        return list(tokenizer(folder).encode(text, add_special_tokens=False).ids)

    return render


@pytest.fixture(scope="session")
def naive(
    prompt_ids: Callable[[Path, Chat], list[int]],
) -> Callable[[Path, ScoreRequest], list[list[float]]]:
    """Log P of every continuation after every chat, each from a forward pass of its own over the
    whole text.
    """
    tokenizer, model = cache(_tokenizer), cache(_model)

    def one(folder: Path, chat: Chat, continuation: str) -> float:
        import torch

        before = prompt_ids(folder, chat)
        answer = list(tokenizer(folder).encode(continuation, add_special_tokens=False).ids)
        with torch.inference_mode():
            logprobs = (
                model(folder)(torch.tensor([before + answer]))
                .logits[0]
                .double()
                .log_softmax(dim=-1)
            )
        return sum(float(logprobs[len(before) + i - 1, token]) for i, token in enumerate(answer))

    @cache
    def every(folder: Path, request: ScoreRequest) -> list[list[float]]:
        return [
            [one(folder, chat, text) for text in request.continuations] for chat in request.chats
        ]

    return every


@pytest.fixture(scope="session")
def dilemma() -> View:
    """A view with three options, whose ids no text holds."""
    texts = ("Give the coat back.", "Keep it; say nothing.", "Ask the neighbour whose it is.")
    return View(
        task="Decide what you do.",
        transcript=(),
        observation="You find a coat on your chair.",
        menu=tuple(Option(f"zqx{k}", text) for k, text in enumerate(texts)),
        seed=3,
    )


def _tokenizer(folder: Path) -> "tokenizers.Tokenizer":
    import tokenizers

    return tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))


def _model(folder: Path) -> "torch.nn.Module":
    import transformers

    return transformers.AutoModelForCausalLM.from_pretrained(folder).eval()


@pytest.fixture(scope="session")
def make_adapter(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Makes the folder of a LoRA adapter with random weights, large enough to change answers, of a
    model's folder.
    """
    import peft
    import torch

    from valueagents.policies.adapters import quiet_peft

    def make(
        folder: Path, *, seed: int, rank: int = 8, modules: Sequence[str] = ("q_proj", "v_proj")
    ) -> Path:
        made = tmp_path_factory.mktemp("adapters") / f"seed-{seed}"
        with torch.random.fork_rng(), quiet_peft():
            torch.manual_seed(seed)
            config = peft.LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=list(modules))
            model = peft.get_peft_model(_model(folder), config)
            for name, weight in model.named_parameters():
                if "lora_B" in name:
                    torch.nn.init.normal_(weight, std=0.05)
            model.save_pretrained(made)
        return made

    return make


@pytest.fixture(scope="session")
def tiny_adapter(make_adapter: Callable[..., Path], tiny_model: Path) -> Path:
    """One of the tiny model, rank 8, alone in its folder; not to be changed."""
    return make_adapter(tiny_model, seed=1).resolve()
