"""`valueagents train lm`: a decoder from scratch on text of the user's.

A tokenizer of its own, an equal share of the tokens from every text, one architecture (Llama), the
same number of tokens for every model that is to be compared. transformers' Trainer does the work,
on a CPU or a GPU, and goes on from its last checkpoint. In the end the folder holds a plain model:
`transformers:FOLDER`.
"""

import shutil
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from valueagents.errors import ConfigError
from valueagents.files.text import decode_text
from valueagents.identity import content_hash
from valueagents.policies.training.folder import Show, quiet
from valueagents.policies.training.lm_settings import LmSettings
from valueagents.policies.training.trainer import (
    checkpoint_callback,
    last_checkpoint,
    step_callback,
)
from valueagents.running.store import write_atomically

if TYPE_CHECKING:
    import torch

RECORD, _CHECKPOINTS, _BEGUN = "lm.json", "checkpoints", "begun"
END = "<|endoftext|>"
"""Between texts, and the start of a text that nothing precedes."""


class LmRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a decoder was made of. `texts`: hash, tokens read and how often the text was read, by
    name; `loss`: of the last steps, in nats a token.
    """

    identity: str
    settings: LmSettings
    seed: int
    texts: dict[str, tuple[str, int, float]]
    parameters: int
    loss: float
    wall_s: float
    versions: dict[str, str]


def texts_in(paths: Mapping[str, str]) -> dict[str, str]:
    """The texts by name, each of a file or of all `.txt` files of a folder.

    Raises ConfigError for one that cannot be found or is empty.
    """
    texts = {}
    for name, given in paths.items():
        path = Path(given)
        files = sorted(path.glob("*.txt")) if path.is_dir() else [path]
        if not files or not all(file.is_file() for file in files):
            raise ConfigError(
                f"text {name!r}: {given!r} is neither a file nor a folder of .txt files"
            )
        text = "\n\n".join(decode_text(file.name, file.read_bytes()) for file in files)
        if not text.strip():
            raise ConfigError(f"text {name!r}: {given!r} is empty")
        texts[name] = text
    return texts


def train_lm(
    texts: Mapping[str, str], settings: LmSettings, out: Path, *, seed: int, show: Show = quiet
) -> LmRecord:
    """The model is in `out`; a finished one is not trained again, an unfinished one goes on.

    Raises ConfigError if the folder holds another training or something else.
    """
    identity = content_hash(
        {name: content_hash(text) for name, text in texts.items()},
        msgspec.to_builtins(settings),
        seed,
    )
    if (done := _finished(out, identity)) is not None:
        return done
    import torch
    import transformers

    began = time.monotonic()
    transformers.logging.disable_progress_bar()  # of the files that it writes
    transformers.set_seed(seed)
    tokenizer = _tokenizer(texts, settings)
    blocks, read = _blocks(tokenizer, texts, settings)
    model = transformers.LlamaForCausalLM(_config(tokenizer, settings))
    trainer = transformers.Trainer(
        model=model,
        args=_arguments(settings, out / _CHECKPOINTS, seed),
        train_dataset=_Blocks(torch.tensor(blocks)),
    )
    trainer.remove_callback(transformers.PrinterCallback)
    trainer.add_callback(checkpoint_callback())
    resumed = last_checkpoint(out / _CHECKPOINTS)
    with show(f"training {out.name}", "steps") as progress:
        trainer.add_callback(step_callback(progress))
        trainer.train(resume_from_checkpoint=None if resumed is None else str(resumed))
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    model.to(torch.float32).save_pretrained(out, safe_serialization=True)
    tokenizer.save_pretrained(out)
    record = LmRecord(
        identity=identity,
        settings=settings,
        seed=seed,
        texts={name: (content_hash(text), *read[name]) for name, text in texts.items()},
        parameters=sum(each.numel() for each in model.parameters()),
        loss=float(losses[-1]) if losses else float("nan"),
        wall_s=round(time.monotonic() - began, 3),
        versions={name: version(name) for name in ("torch", "transformers", "tokenizers")},
    )
    write_atomically(out / RECORD, msgspec.json.format(msgspec.json.encode(record)) + b"\n")
    shutil.rmtree(out / _CHECKPOINTS, ignore_errors=True)
    (out / _BEGUN).unlink()
    return record


def _finished(out: Path, identity: str) -> LmRecord | None:
    """The record of this training if it is finished; else the folder is its own."""
    begun = out / _BEGUN
    if (out / RECORD).is_file():
        try:
            record = msgspec.json.decode((out / RECORD).read_bytes(), type=LmRecord)
        except msgspec.DecodeError as error:
            raise ConfigError(f"{out / RECORD} is damaged: {error}; give another --out") from error
        if record.identity == identity:
            return record
        raise ConfigError(f"{out} holds another model (text, settings or seed differ)")
    if begun.is_file() and begun.read_text() != identity:
        raise ConfigError(f"{out} holds another training, unfinished; give another --out")
    if not begun.is_file() and out.exists() and (out.is_file() or any(out.iterdir())):
        raise ConfigError(f"{out} is not empty and holds no training; give another --out")
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(begun, identity.encode())
    return None


def _tokenizer(texts: Mapping[str, str], settings: LmSettings) -> Any:
    """Byte-level BPE on as many characters of each text."""
    import tokenizers
    import transformers

    backend = tokenizers.Tokenizer(tokenizers.models.BPE())
    backend.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = tokenizers.decoders.ByteLevel()
    share = min(map(len, texts.values()))
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=settings.vocabulary,
        special_tokens=[END],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator((text[:share] for _, text in sorted(texts.items())), trainer)
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token=END,
        eos_token=END,
        model_max_length=_window(settings),
    )


def _blocks(
    tokenizer: Any, texts: Mapping[str, str], settings: LmSettings
) -> tuple[list[list[int]], dict[str, tuple[int, float]]]:
    """Examples of `context` tokens, by turns of every text; tokens and readings of each text."""
    names = sorted(texts)
    wanted = -(-settings.blocks // len(names))
    parts: list[list[list[int]]] = []
    read = {}
    for name in names:
        ids = [tokenizer.bos_token_id]
        for paragraph in texts[name].split("\n\n"):
            if paragraph.strip():
                ids += [*tokenizer(paragraph, add_special_tokens=False).input_ids, ids[0]]
        need = wanted * settings.context
        times = -(-need // len(ids))
        whole = (ids * times)[:need]
        size = settings.context
        parts.append([whole[k : k + size] for k in range(0, need, size)])
        read[name] = (need, round(need / len(ids), 3))
    mixed = [block for turn in zip(*parts, strict=True) for block in turn]
    return mixed[: settings.blocks], read


class _Blocks:
    """Examples for the Trainer."""

    def __init__(self, ids: "torch.Tensor") -> None:
        self._ids = ids

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, place: int) -> "dict[str, torch.Tensor]":
        return {"input_ids": self._ids[place], "labels": self._ids[place]}


def _window(settings: LmSettings) -> int:
    """Tokens that a prompt may have; rotary positions reach beyond those trained on."""
    return max(settings.context, 1024)


def _config(tokenizer: Any, settings: LmSettings) -> Any:
    import transformers

    return transformers.LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=settings.width,
        intermediate_size=8 * settings.width // 3,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.heads,
        max_position_embeddings=_window(settings),
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        tie_word_embeddings=True,
    )


def _arguments(settings: LmSettings, folder: Path, seed: int) -> Any:
    import torch
    import transformers

    gpu = torch.cuda.is_available()
    at_once = (settings.pass_tokens or settings.batch_tokens) // settings.context
    rows = max(1, min(settings.batch, at_once))
    return transformers.TrainingArguments(
        output_dir=str(folder),
        max_steps=settings.steps,
        per_device_train_batch_size=rows,
        gradient_accumulation_steps=max(1, settings.batch // rows),
        learning_rate=settings.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=int(settings.warmup * settings.steps),
        weight_decay=0.1,
        bf16=gpu,
        use_cpu=not gpu,
        seed=seed,
        save_steps=settings.save_steps,
        save_total_limit=2,
        logging_steps=max(1, settings.steps // 20),
        report_to=[],
        disable_tqdm=True,
        dataloader_pin_memory=gpu,
    )


def lm_spec(out: Path) -> str:
    """The policy that the model in a folder is; it has no chat template."""
    return f"transformers:{out}?template=plain"


def told(record: LmRecord, out: Path) -> str:
    """The model in a sentence, and how to use it."""
    texts: Sequence[str] = [
        f"{name} {tokens:,} tokens ({times:g} times over)"
        for name, (_, tokens, times) in record.texts.items()
    ]
    return (
        f"{out}: {record.parameters / 1e6:.2f} million parameters, loss {record.loss:.3f} nats a"
        f" token, {record.wall_s:.0f} s; {', '.join(texts)}\nNext: valueagents run --env"
        f" valueagents/Stereotype-v0 --policy '{lm_spec(out)}&reading=likelihood' --out …"
    )
