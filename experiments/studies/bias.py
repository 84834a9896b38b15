"""`valueagents study bias`: are multilingual models less biased than monolingual ones, and more
accurate (arXiv 2407.05740)? Any policies, on the same stereotype questions and sentence pairs.
"""

import asyncio
from importlib.metadata import version
from pathlib import Path

import msgspec

from valueagents.experiments.studies.bias_design import (
    Benchmark,
    BiasPolicy,
    BiasStudy,
    read_bias_study,
    spec_in,
)
from valueagents.experiments.studies.bias_effects import (
    BiasContrast,
    BiasFindings,
    PolicyBias,
    contrasts_of,
    holds,
    pairs_of,
    with_metrics,
)
from valueagents.experiments.studies.bias_picture import bias_picture
from valueagents.experiments.studies.bias_power import noise_of
from valueagents.experiments.studies.bias_sentences import QUESTIONS, bias_sentences
from valueagents.experiments.studies.bias_training import with_models
from valueagents.experiments.studies.common_states import config_of, run_to_end
from valueagents.experiments.studies.given_page import GivenReport
from valueagents.identity import content_hash
from valueagents.measuring.answers import Answers
from valueagents.measuring.counts import count
from valueagents.measuring.mass import mass_of
from valueagents.measuring.reading import read_answers
from valueagents.measuring.studies.bias import BiasTable, bias_table
from valueagents.policies.sharing import SharedModels
from valueagents.report.template import drawn, template, write_page
from valueagents.running.runs import Run
from valueagents.running.store import write_atomically

_MOST_PAIRS = 30

Met = dict[tuple[str, str, str], Run]
"""By benchmark, language and policy."""


def run_bias_study(design: str, out: Path) -> GivenReport:
    """What may be said, a paragraph each, and the page that shows it: `report.html` in `out`, with
    every number in `bias.json`.

    Raises ConfigError for whatever can be known to be wrong at once.
    """
    study = with_models(read_bias_study(design), out)
    met = asyncio.run(meet_benchmarks(study, out))
    tables = tables_of_study(study, met)
    found = findings(study, met, tables)
    return _write(study, found, met, tables, out, design=design)


async def meet_benchmarks(study: BiasStudy, out: Path) -> Met:
    """Every policy on every benchmark in its languages, or what is missing of that; one model after
    another.
    """
    specs = {
        (benchmark.name, language, policy.name): spec_in(policy, benchmark)
        for benchmark, language, policy in study.asked()
    }
    models = SharedModels(specs.values())
    asked: list[tuple[Benchmark, str, BiasPolicy]] = sorted(
        study.asked(), key=lambda each: models.place(spec_in(each[2], each[0]))
    )
    met = {}
    try:
        for benchmark, language, policy in asked:
            key = benchmark.name, language, policy.name
            config = config_of(benchmark.env(language), specs[key], seed=study.seed)
            folder = f"{policy.name}-{content_hash(msgspec.to_builtins(config))[:8]}"
            path = out / "runs" / f"{benchmark.name} {language}" / folder
            made = await models.policy(specs[key])
            met[key] = await run_to_end(config, path, " in ".join((policy.name, language)), made)
    finally:
        await models.close()
    return met


def tables_of_study(study: BiasStudy, met: Met) -> dict[str, list[BiasTable]]:
    """The tables of the benchmarks, one a language in which a policy was met."""
    tables: dict[str, list[BiasTable]] = {}
    for benchmark in study.benchmarks:
        for language in benchmark.languages:
            answers = {
                policy.name: read_answers(met[benchmark.name, language, policy.name])
                for policy in study.speaking(language)
            }
            answers = {name: each for name, each in answers.items() if _readable(each)}
            if answers:
                table = bias_table(language, answers, form=study.form)
                tables.setdefault(benchmark.name, []).append(table)
    return tables


def _readable(answers: Answers) -> bool:
    """Whether there is an answer at all, of pairs one with probabilities."""
    if not (answers.knows_p | (answers.chosen >= 0)).any():
        return False
    questions = bool(answers.x[:, answers.taxonomy.index("unknown")].any())
    return questions or bool(answers.knows_p.all())


def findings(study: BiasStudy, met: Met, tables: dict[str, list[BiasTable]]) -> BiasFindings:
    """All numbers of a study whose policies were met."""
    policies = []
    for benchmark, language, policy in study.asked():
        run = met[benchmark.name, language, policy.name]
        answers = read_answers(run)
        row = PolicyBias(
            benchmark=benchmark.name,
            language=language,
            policy=policy.name,
            multilingual=policy.multilingual,
            spec=run.header.policy,
            counts=count(run),
            mass=mass_of(answers),
        )
        policies.append(with_metrics(row, answers, study.form))
    unanswered = {
        name: {table.language: table.unanswered for table in own} for name, own in tables.items()
    }
    return BiasFindings(policies, contrasts_of(study, tables), pairs_of(tables), unanswered)


def _write(
    study: BiasStudy,
    found: BiasFindings,
    met: Met,
    tables: dict[str, list[BiasTable]],
    out: Path,
    *,
    design: str,
) -> GivenReport:
    answer = bias_sentences(study, found)
    record = {
        "format": "valueagents-bias 1",
        "valueagents": version("valueagents"),
        "study": study,
        "answer": answer,
        "noise": noise_of(tables),
        "found": found,
    }
    encoded = msgspec.json.format(msgspec.json.encode(record), indent=1)
    write_atomically(out / "bias.json", encoded + b"\n")
    names = [benchmark.name for benchmark in study.benchmarks]
    own = {name: [each for each in found.policies if each.benchmark == name] for name in names}
    left_out: dict[str, dict[str, tuple[str, ...]]] = {name: {} for name in names}
    for (name, language, _), run in met.items():
        left_out[name][language] = run.header.notes
    page = template("bias.html.j2", "valueagents.experiments.studies").render(
        study=study,
        answer=answer,
        found=found,
        informed=any(run.header.informed for run in met.values()),
        benchmarks=[
            (
                name,
                own[name],
                drawn(bias_picture(own[name])) if own[name] else None,
                [each for each in found.contrasts if each.benchmark == name],
            )
            for name in names
            if own[name]
        ],
        pairs=sorted(found.pairs, key=lambda each: (not holds(each), each.p or 1.0))[:_MOST_PAIRS],
        held=sum(map(holds, found.pairs)),
        left_out=left_out,
        holds=holds,
        word=_word,
        design=design,
        settings=msgspec.json.format(msgspec.json.encode(study), indent=1).decode(),
    )
    return GivenReport(write_page(page, out / "report.html"), answer)


def _word(each: BiasContrast) -> str:
    """What may be said of a row of the table."""
    if each.measure not in QUESTIONS:
        return ""
    if not holds(each):
        return "not told apart"
    return QUESTIONS[each.measure][1 if each.verdict > 0 else 2]
