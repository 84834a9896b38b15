"""Whose values a card shows: models, adapters, personas, served models, as the user names them."""

import re
from collections.abc import Sequence
from urllib.parse import urlencode

import msgspec

from valueagents.contracts.plugins import POLICIES, make_policy, names
from valueagents.errors import ConfigError
from valueagents.identity import content_hash


class CardSubject(msgspec.Struct, frozen=True):
    """A policy with the name that pages give it, and its spec."""

    name: str
    spec: str

    @property
    def folder(self) -> str:
        """A folder name that says who it is and belongs to nobody else."""
        plain = re.sub(r"[^A-Za-z0-9.=-]+", "_", self.name).strip("._")[:60]
        return f"{plain or 'policy'}-{content_hash(self.spec)[:6]}"


def subjects(
    models: Sequence[str], adapters: Sequence[str] = (), personas: Sequence[str] = ()
) -> list[CardSubject]:
    """The models, and of a single one its adapters and personas, too, the bare model first.

    Raises ConfigError for adapters or personas of several models, for a name given twice, and for a
    spec that makes no policy; nothing is loaded.
    """
    if not models:
        raise ConfigError("no model: give at least one, e.g. smollm2-135m")
    if (adapters or personas) and len(models) > 1:
        raise ConfigError(
            "--adapter and --persona belong to one MODEL; of several give each as a spec:"
            " transformers:MODEL?adapter=FOLDER"
        )
    found = [CardSubject(model, spec_of(model)) for model in models]
    for option, values in (("adapter", adapters), ("persona", personas)):
        for value in values:
            base = found[0]
            mark = "&" if "?" in base.spec else "?"
            spec = f"{base.spec}{mark}{urlencode({option: value})}"
            found.append(CardSubject(f"{base.name} + {value}", spec))
    if len({each.spec for each in found}) < len(found):
        raise ConfigError("a model, adapter or persona is given twice: give each once")
    for each in found:
        make_policy(each.spec).identity()  # a wrong name or file is said before anything plays
    return found


def spec_of(model: str) -> str:
    """The policy spec of a model: a spec as it is, a URL as a served model, else a model in this
    process.
    """
    head = model.partition("?")[0].partition(":")[0]
    if "://" in model and head in ("http", "https"):
        return f"openai:{model}"
    return model if head in names(POLICIES) else f"transformers:{model}"
