"""`valueagents/Stereotype-v0`: a question about two people or groups, and whether a stereotype
answers it; or two sentences that differ in the group.
"""

from collections import Counter
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from valueagents.contracts.decision import Factor
from valueagents.envs.items.env import ItemEnv
from valueagents.envs.stereotypes.files import (
    StereotypeBank,
    bundled_probes,
    files_of,
    read_stereotypes,
)
from valueagents.envs.stereotypes.languages import PAIRS, task_of
from valueagents.envs.stereotypes.records import AnswerRole, Probe, SentencePair
from valueagents.errors import ConfigError, unknown_name
from valueagents.files.items import Item, ItemBank, ItemOption
from valueagents.identity import content_hash
from valueagents.taxonomy import load_taxonomy

Context = Literal["both", "ambiguous", "disambiguated"]

_AXIS: dict[AnswerRole, str] = {"stereotyped": "pro", "other": "anti", "unknown": "unknown"}
_PAIR_TEXT = "Two sentences that differ in a few words."


class StereotypeEnv(ItemEnv):
    """Questions in the manner of BBQ, or sentence pairs in that of CrowS-Pairs, in one language.

    A question has three answers, shown in an order drawn from the episode's seed: the one that fits
    the stereotype (`pro`), the one that does not (`anti`), and `unknown`, in whatever words; the
    right one is marked `correct`. Where the context is ambiguous that is `unknown`. A pair is two
    sentences, `pro` and `anti`; the env then asks to compare them, and a language model reads each
    by itself (reading `sentences`). A cluster is the template.

    Args:
        data: a file, or a folder of files of one kind: JSON lines in our format or BBQ's (BBQ,
            MBBQ, EsBBQ, CaBBQ, GG-BBQ), tables of KoBBQ, CrowS-Pairs and its translations; by
            default the bundled probe set (envs/data/README.md).
        language: of the texts, as `de`; by default what the file's name ends in (`Age_es.jsonl`),
            else en.
        bias_type: only questions or pairs of this kind, e.g. `age`; by default all.
        context: only ambiguous or only disambiguated questions.
        control: of a folder the control set (MBBQ), in which names stand for groups.
        parallel_to: a file or folder in another language; what is not the same there under its id
            is left out.
        metadata: BBQ's `additional_metadata.csv`, which its sets of two attributes at once need.
        cap: at most this many questions of each template.
        render_mode: "ansi" or None, as in Gymnasium.
    """

    version = "1"

    def __init__(
        self,
        *,
        data: str | None = None,
        language: str | None = None,
        bias_type: str | None = None,
        context: Context = "both",
        control: bool = False,
        parallel_to: str | None = None,
        metadata: str | None = None,
        cap: Annotated[int, msgspec.Meta(ge=1)] | None = None,
        render_mode: Literal["ansi"] | None = None,
    ) -> None:
        path = bundled_probes(language or "en") if data is None else Path(data)
        other = () if parallel_to is None else files_of(Path(parallel_to), None, control=control)
        bank = read_stereotypes(
            files_of(path, language, control=control),
            language,
            other,
            None if metadata is None else Path(metadata),
        )
        self.stereotypes = bank = _chosen(bank, bias_type, context, cap)
        self.language = bank.language
        self.asks = "answer" if bank.probes else "compare"
        super().__init__(_items(bank), render_mode=render_mode)


def _chosen(
    bank: StereotypeBank, bias_type: str | None, context: Context, cap: int | None
) -> StereotypeBank:
    """The part of a bank that is asked for. Raises ConfigError for what it has none of."""
    kinds = {probe.bias_type for probe in bank.probes} | {pair.bias_type for pair in bank.pairs}
    if bias_type is not None and bias_type not in kinds:
        raise ConfigError(unknown_name("bias type", bias_type, kinds))
    if bank.pairs and context != "both":
        raise ConfigError(f"context={context} is of questions; these are sentence pairs")
    probes = [
        probe
        for probe in bank.probes
        if bias_type in (None, probe.bias_type)
        and (context == "both" or probe.ambiguous == (context == "ambiguous"))
    ]
    if bank.probes and not probes:
        raise ConfigError(f"no question is of context {context}; leave it out")
    return msgspec.structs.replace(
        bank,
        probes=tuple(probes if cap is None else _capped(probes, cap)),
        pairs=tuple(pair for pair in bank.pairs if bias_type in (None, pair.bias_type)),
    )


def _capped(probes: list[Probe], cap: int) -> list[Probe]:
    """At most `cap` of each template and kind of context, those of the lowest hash of their id: the
    same ones in every language of a parallel set.
    """
    taken: Counter[tuple[str, bool]] = Counter()
    kept = set()
    for probe in sorted(probes, key=lambda probe: content_hash(probe.id)):
        of = probe.template, probe.ambiguous
        taken[of] += 1
        if taken[of] <= cap:
            kept.add(probe.id)
    return [probe for probe in probes if probe.id in kept]


def _items(bank: StereotypeBank) -> ItemBank:
    factors = [
        Factor("language", "The language of the texts.", (bank.language,)),
        Factor("bias_type", "What the stereotype is about."),
    ]
    if bank.probes:
        factors += [
            Factor("template", "What the question was made of."),
            Factor("context", "Whether it tells the answer.", ("ambiguous", "disambiguated")),
            Factor("polarity", "Whom it asks for.", ("negative", "non_negative")),
            Factor("control", "Whether names stand for the groups.", ("yes", "no")),
        ]
        items = tuple(_of_probe(bank.language, probe) for probe in bank.probes)
    else:
        factors += [
            Factor("direction", "Stereotype stated, or contradicted in the other sentence.")
        ]
        items = tuple(_of_pair(bank.language, pair) for pair in bank.pairs)
    return ItemBank(
        taxonomy=load_taxonomy("stereotype"),
        task=task_of(bank.language) if bank.probes else PAIRS,
        provenance=f"the roles that {bank.source} gives its answers",
        scaling="1 = what the answer is: pro, anti, unknown; correct",
        items=items,
        factors=tuple(factors),
        notes=bank.notes,
    )


def _of_probe(language: str, probe: Probe) -> Item:
    options = []
    for option in probe.options:
        values: dict[str, float | None] = {_AXIS[option.role]: 1.0}
        if option.role == probe.answer:
            values["correct"] = 1.0
        options.append(ItemOption(id=option.role, text=option.text, values=values))
    return Item(
        id=probe.id,
        text=f"{probe.context.strip()}\n\n{probe.question.strip()}",
        options=tuple(options),
        cluster=probe.template,
        factors={
            "language": language,
            "bias_type": probe.bias_type,
            "template": probe.template,
            "context": "ambiguous" if probe.ambiguous else "disambiguated",
            "polarity": probe.polarity,
            "control": "yes" if probe.control else "no",
        },
    )


def _of_pair(language: str, pair: SentencePair) -> Item:
    options = (
        ItemOption(id="stereotyped", text=pair.stereotyped, values={"pro": 1.0}),
        ItemOption(id="other", text=pair.other, values={"anti": 1.0}),
    )
    return Item(
        id=pair.id,
        text=_PAIR_TEXT,
        options=options,
        factors={"language": language, "bias_type": pair.bias_type, "direction": pair.direction},
    )
