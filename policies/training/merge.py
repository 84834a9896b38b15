"""`merge_adapter`: base and adapter as one plain model, for tools that know no adapters."""

from pathlib import Path
from typing import Any

from valueagents.errors import ConfigError
from valueagents.policies.adapters import Adapter, load_adapter, read_adapter
from valueagents.policies.models import find_model
from valueagents.policies.training.lora import load_base
from valueagents.policies.training.manifest import read_manifest
from valueagents.running.sealed import write_sealed


def merge_adapter(
    adapter: Path | str, out: Path | str, *, base: str | None = None, dtype: str = "float32"
) -> Path:
    """Write a model folder (safetensors and tokenizer) that answers as base + adapter do, and
    return it.

    `base` None takes the model that the adapter's manifest names. In bfloat16 the sum of weights is
    rounded, and answers move by more than in float32. Raises ConfigError if `out` is not empty, the
    base is not the adapter's, or a plain model cannot hold the sum.
    """
    adapter, out = Path(adapter), Path(out)
    if out.exists() and (out.is_file() or any(out.iterdir())):
        raise ConfigError(f"{out} is not empty; give another --out")
    manifest = read_manifest(adapter)
    if base is None:
        if manifest is None:
            raise ConfigError(f"{adapter} has no manifest that names its base model; give --base")
        base = manifest.base["name"]
    files = find_model(base)
    checked = read_adapter(str(adapter), files)
    import transformers

    model = load_base(files, dtype=dtype, device="cpu")
    _check_untied(model, checked)
    merged = load_adapter(model, None, checked, name="default").merge_and_unload()
    out.mkdir(parents=True, exist_ok=True)
    merged.save_pretrained(out, safe_serialization=True)
    with files.loading("the tokenizer of"):
        transformers.AutoTokenizer.from_pretrained(files.folder).save_pretrained(out)
    told = {"base": {"name": files.name, **files.hashes()}, "adapter": checked.name, "dtype": dtype}
    write_sealed(out / "merged.json", told)
    return out


def _check_untied(model: Any, adapter: Adapter) -> None:
    """Refuse to add to a matrix that is input and output embedding at once: an adapter changes one
    of the two.
    """
    read, written = model.get_input_embeddings(), model.get_output_embeddings()
    tied = written is not None and read.weight is written.weight
    if tied and adapter.embeddings:
        raise ConfigError(
            f"adapter {str(adapter.folder)!r} adapts {adapter.embeddings[0]}, whose matrix the base"
            " model also uses at its other end: the sum is not a plain model; use base and adapter"
            " as they are"
        )
