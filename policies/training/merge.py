"""`merge_adapter`: base and adapter as one plain model, for tools that know no adapters."""

from pathlib import Path

import msgspec

from valueagents.errors import ConfigError
from valueagents.policies.adapters import quiet_peft, read_adapter
from valueagents.policies.models import find_model
from valueagents.policies.training.lora import load_base
from valueagents.policies.training.manifest import read_manifest
from valueagents.running.store import write_atomically


def merge_adapter(adapter: Path | str, out: Path | str, *, base: str | None = None, dtype: str = "float32") -> Path:
    """Write a model folder (safetensors and tokenizer) that answers as base + adapter do, and return it.

    `base` None takes the model that the adapter's manifest names. In bfloat16 the sum of weights is rounded, and
    answers move by more than in float32. Raises ConfigError if `out` is not empty or the base is not the adapter's.
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
    import peft
    import transformers

    model = load_base(files, dtype=dtype, device="cpu")
    with quiet_peft():
        adapted = peft.PeftModel.from_pretrained(model, checked.folder, use_safetensors=True)
    merged = adapted.merge_and_unload()
    out.mkdir(parents=True, exist_ok=True)
    merged.save_pretrained(out, safe_serialization=True)
    transformers.AutoTokenizer.from_pretrained(files.folder).save_pretrained(out)
    told = {"base": {"name": files.name, **files.hashes()}, "adapter": checked.name, "dtype": dtype}
    write_atomically(out / "merged.json", msgspec.json.format(msgspec.json.encode(told), indent=2) + b"\n")
    return out
