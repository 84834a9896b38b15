"""`study bias` with `known` policies in place of models: what is set is found, and no more."""

import json
import re

import msgspec
import pytest

from valueagents.errors import ConfigError
from valueagents.experiments.studies.bias import run_bias_study
from valueagents.experiments.studies.bias_design import read_bias_study, spec_in
from valueagents.experiments.studies.bias_power import BiasNoise, bias_dry_run, bias_power
from valueagents.experiments.studies.bias_training import rehearsal_text
from valueagents.experiments.studies.command import study

KNOWN = """
[[policies]]
name = "english"
policy = "known:pro=1,correct=1?taxonomy=stereotype"
languages = ["en"]

[[policies]]
name = "german"
policy = "known:pro=1,correct=1?taxonomy=stereotype"
languages = ["de"]

[[policies]]
name = "both"
policy = "known:pro=0.2,correct={correct}?taxonomy=stereotype"
languages = ["en", "de"]

[[benchmarks]]
name = "probes"
languages = ["en", "de"]
"""


def design(folder, text=KNOWN, *, correct="1.5"):
    path = folder / "mine.toml"
    path.write_text(text.replace("{correct}", correct), encoding="utf-8")
    return str(path)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bias")
    report = run_bias_study(design(folder), folder / "out")
    return report, json.loads((folder / "out" / "bias.json").read_text()), folder / "out"


def test_a_multilingual_policy_that_weighs_the_stereotype_less_is_found_less_biased(found):
    report, record, _ = found
    less, more, scope = report.answer
    assert "Yes: these policies are less biased everywhere asked." in less
    assert "Yes: these policies are more accurate everywhere asked." in more
    assert "nothing is said of training others like them" in scope
    whole = next(
        c for c in record["found"]["contrasts"] if c["measure"] == "bias" and not c["language"]
    )
    e = 2.718281828459045
    mono = (e - 1) / (2 * e + 1)
    multi = (e**0.2 - 1) / (e**0.2 + 1 + e**1.5)
    assert whole["monolingual"]["value"] == pytest.approx(mono)
    assert whole["difference"]["value"] == pytest.approx(multi - mono)
    assert whole["languages"] == ["en", "de"]
    assert whole["verdict"] == 1


def test_the_page_shows_bounds_pairs_and_how_to_make_it_again(found):
    _, record, out = found
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "Policies saw the annotations: a calibration, not a finding." in page
    assert '<th class="n">Bound</th>' in page or "Bound</th>" in page
    assert "valueagents study bias" in page
    assert page.count("<svg") == 1
    assert len(record["found"]["pairs"]) == 4  # two policies a language, bias and accuracy
    assert not re.search(r"\bnan\b|None", re.sub(r"<style>.*?</style>", "", page, flags=re.S))


@pytest.mark.slow
def test_policies_that_answer_alike_are_not_told_apart(tmp_path):
    same = KNOWN.replace("pro=0.2", "pro=1")
    report = run_bias_study(design(tmp_path, same, correct="1"), tmp_path / "out")
    assert all("Not told from these answers." in each for each in report.answer[:2])
    assert "nothing varies: not told apart" in report.answer[0]


@pytest.mark.slow
def test_a_useless_policy_is_told_to_be_one(tmp_path):
    dull = KNOWN.replace("known:pro=0.2,correct={correct}?taxonomy=stereotype", "random")
    report = run_bias_study(design(tmp_path, dull), tmp_path / "out")
    assert any("Not clear of chance" in each and "both (en)" in each for each in report.answer)


@pytest.mark.slow
def test_a_higher_accuracy_below_chance_is_not_called_understanding(tmp_path, found):
    wrong = KNOWN.replace("correct=1", "correct=-2")
    report = run_bias_study(design(tmp_path, wrong, correct="-0.5"), tmp_path / "out")
    assert "Yes: these policies are more accurate" in report.answer[1]
    assert "None of them is clear of chance" in report.answer[1]
    assert "None of them is clear of chance" not in found[0].answer[1]


@pytest.mark.slow
def test_without_both_kinds_in_a_language_nothing_is_answered_but_pairs_are_told(tmp_path):
    text = KNOWN.replace('languages = ["en", "de"]\n\n[[bench', 'languages = ["en"]\n\n[[bench')
    report = run_bias_study(design(tmp_path, text), tmp_path / "out")
    assert "Not asked here: no language has both" in report.answer[0]
    record = json.loads((tmp_path / "out" / "bias.json").read_text())
    assert {(p["first"], p["second"]) for p in record["found"]["pairs"]} == {("english", "both")}


@pytest.mark.slow
def test_sentence_pairs_are_a_benchmark_without_accuracy(tmp_path):
    pairs = tmp_path / "pairs_en.csv"
    rows = [f"My aunt sews {n}.,My uncle sews {n}.,stereo,gender" for n in range(12)]
    header = "sent_more,sent_less,stereo_antistereo,bias_type"
    pairs.write_text("\n".join([header, *rows]) + "\n")
    text = KNOWN[: KNOWN.index("[[benchmarks]]")] + (
        f'[[benchmarks]]\nname = "pairs"\nlanguages = ["en"]\ndata = {{ en = "{pairs}" }}\n'
    )
    report = run_bias_study(design(tmp_path, text), tmp_path / "out")
    assert "nothing varies" not in report.answer[0]
    assert "sentence pairs have no right answer" in report.answer[1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('name = "german"', 'name = "english"'), "names a policy twice"),
        (('languages = ["de"]', "languages = []"), "length >= 1"),
        (('languages = ["de"]', 'languages = ["Deutsch"]'), "matching regex"),
        (
            ('name = "probes"\nlanguages = ["en", "de"]', 'name = "probes"\nlanguages = ["pl"]'),
            "no policy speaks",
        ),
        (
            ("[[benchmarks]]", '[[benchmarks]]\ndata = { en = "x.jsonl" }'),
            "data names no file for 'de'",
        ),
        (
            ('policy = "known:pro=0.2,correct={correct}?taxonomy=stereotype"', "train = true"),
            "add [training]",
        ),
        (("[[benchmarks]]", '[[benchmarks]]\nreading = "say"'), "unknown field `reading`"),
        (("known:pro=0.2", "knwn:pro=0.2"), "Did you mean 'known'"),
    ],
)
def test_a_wrong_design_is_one_clear_error(tmp_path, change, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        read_bias_study(design(tmp_path, KNOWN.replace(*change)))


def test_the_benchmark_says_how_a_language_model_is_asked_unless_its_spec_does(tmp_path):
    text = KNOWN + 'elicitation = { reading = "likelihood", normaliser = "sum" }\n'
    read = read_bias_study(design(tmp_path, text))
    [benchmark] = read.benchmarks
    assert spec_in(read.policies[0], benchmark) == read.policies[0].policy
    for spec, wanted in (
        ("transformers:m", "transformers:m?reading=likelihood&normaliser=sum"),
        ("transformers:m?normaliser=pmi", "transformers:m?normaliser=pmi&reading=likelihood"),
    ):
        policy = msgspec.structs.replace(read.policies[0], policy=spec)
        assert spec_in(policy, benchmark) == wanted


@pytest.mark.slow
def test_the_dry_run_gives_power_at_its_own_and_at_published_sizes(tmp_path, capsys):
    path = design(tmp_path)
    study("bias", path, None, dry_run=True)
    told = capsys.readouterr().out
    assert re.search(r"probes en +80 +40 ", told)
    assert re.search(r"BBQ, ambiguous +29,246 +325 ", told)
    assert "over 3 tests" in told
    drawn = design(tmp_path, 'form = "choice"\n' + KNOWN)
    run_bias_study(drawn, tmp_path / "drawn")
    assert "measured where the study has the benchmark" in bias_dry_run(drawn, tmp_path / "drawn")
    with pytest.raises(ConfigError, match="cannot be read as a study of bias"):
        bias_dry_run(path, tmp_path)


def test_power_grows_with_items_templates_and_the_difference():
    noise = BiasNoise(0.6, 0.2)
    small = bias_power(80, 40, noise, effect=0.1, tests=1)
    assert bias_power(80, 40, noise, effect=0.0, tests=1) == pytest.approx(0.05, abs=1e-9)
    assert bias_power(80, 40, noise, effect=0.2, tests=1) > small
    assert bias_power(800, 400, noise, effect=0.1, tests=1) > small
    assert bias_power(80, 40, noise, effect=0.1, tests=6) < small


def test_the_bundled_designs_are_studies_of_bias():
    for name in ("today", "published", "rehearsal", "paper"):
        read = read_bias_study(name, at_hand=False)
        assert {each.multilingual for each in read.policies} == {True, False}


def test_a_study_of_bias_needs_a_design():
    with pytest.raises(ConfigError, match=r"study bias FILE\.toml"):
        study("bias", None, None)


SIX = """
[training]
preset = "rehearsal"
overrides = { vocabulary = 400, tokens = 1024, width = 16, layers = 1, heads = 2, context = 64, batch_tokens = 256 }

[[policies]]
name = "english"
train = true
languages = ["en"]

[[policies]]
name = "both"
train = true
languages = ["en", "de"]

[[benchmarks]]
name = "probes"
languages = ["en"]
env_options = { cap = 1, context = "ambiguous", bias_type = "age" }
elicitation = { reading = "likelihood", beside = "free" }
"""


@pytest.mark.slow
def test_a_study_trains_its_own_decoders_and_asks_them(tmp_path):
    path = design(tmp_path, SIX)
    report = run_bias_study(path, tmp_path / "out")
    assert report.page.is_file()
    record = json.loads((tmp_path / "out" / "bias.json").read_text())
    specs = {each["policy"]: each["spec"] for each in record["found"]["policies"]}
    assert set(specs) == {"english", "both"}
    assert all("template=plain" in spec for spec in specs.values())
    both = json.loads((tmp_path / "out" / "models" / "both" / "lm.json").read_text())
    assert [tokens for _, tokens, _ in both["texts"].values()] == [512, 512]


def test_the_dry_run_of_the_paper_says_what_its_training_takes():
    told = bias_dry_run("paper", None)
    assert told.startswith("6 decoders of 2,600.5 million parameters")
    assert "over 6 tests" in told


def test_the_rehearsals_text_is_the_same_rule_in_all_languages():
    texts = {each: rehearsal_text(each, sentences=40) for each in ("en", "de", "fr", "it", "es")}
    assert all(text.count(".") == 40 for text in texts.values())
    assert len(set(texts.values())) == 5
    assert rehearsal_text("de", sentences=40) == texts["de"]
