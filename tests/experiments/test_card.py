"""`valueagents card` with `known` policies in place of models: what is set is found and ranked, and
no more; nothing is asked twice.
"""

import json
import re

import msgspec
import pytest

from chromium import PHONE, browser, needs_chromium
from counting_engine import items
from valueagents.errors import ConfigError, StoreError
from valueagents.experiments.card import making
from valueagents.experiments.card.budget import CardPlan, read_plan, shared, write_plan
from valueagents.experiments.card.command import card
from valueagents.experiments.card.envs import CardEnv
from valueagents.experiments.card.making import Budget, make_card
from valueagents.experiments.card.subjects import CardSubject, spec_of, subjects
from valueagents.running.execution import RunConfig, execute
from valueagents.running.runs import Run


@pytest.mark.parametrize(
    ("model", "spec"),
    [
        ("smollm2-135m", "transformers:smollm2-135m"),
        ("ORG/MODEL", "transformers:ORG/MODEL"),
        ("vllm:ORG/MODEL", "vllm:ORG/MODEL"),
        ("http://127.0.0.1:8000/v1?model=base", "openai:http://127.0.0.1:8000/v1?model=base"),
        ("known:BEC=1", "known:BEC=1"),
        ("random", "random"),
    ],
)
def test_a_model_is_named_as_people_name_it(model, spec):
    assert spec_of(model) == spec


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (([], [], []), "no model"),
        ((["random", "first"], ["runs/a"], []), "belong to one MODEL"),
        ((["random", "random"], [], []), "given twice"),
        ((["known:BEK=1"], [], []), "BEK"),
    ],
)
def test_a_mistake_is_named_before_anything_is_asked(given, message):
    with pytest.raises(ConfigError, match=message):
        subjects(*given)


def test_two_names_never_share_a_folder():
    hostile = ["a/b", "a_b", "../a", "<b>", "", "x" * 300]
    folders = [CardSubject(name, name).folder for name in hostile]
    assert len(set(folders)) == len(hostile)
    assert all(re.fullmatch(r"[A-Za-z0-9_.=-]{1,70}", folder) for folder in folders)


def test_a_budget_is_shared_equally_and_what_is_not_needed_goes_to_the_others():
    whole = {"a": 100, "b": 1000, "c": 10}
    assert shared(1e9, dict.fromkeys(whole, 1.0), whole) == whole
    assert shared(210, dict.fromkeys(whole, 1.0), whole) == {"a": 100, "b": 100, "c": 10}
    assert shared(0, dict.fromkeys(whole, 1.0), whole) == {"a": 4, "b": 4, "c": 4}
    assert shared(10, {"a": 0.0, "b": 0.1, "c": 10.0}, whole) == {"a": 100, "b": 50, "c": 4}


def test_a_damaged_plan_is_named(tmp_path):
    write_plan(tmp_path, CardPlan("valueagents-card 1", {}, {"survey": 3}))
    assert read_plan(tmp_path).episodes == {"survey": 3}
    whole = (tmp_path / "card.json").read_text()
    for damaged in ("{", whole.replace(": 3", ": 8"), "[" * 5000):
        (tmp_path / "card.json").write_text(damaged)
        with pytest.raises(StoreError, match=r"card\.json is damaged .*; remove it"):
            read_plan(tmp_path)


def test_one_budget_at_a_time():
    with pytest.raises(ConfigError, match="give one of --minutes, --tokens and --full"):
        card(["random"], minutes=1.0, full=True)


THREE = ["known:BEC=1.4", "known:BEC=0.7", "known:BEC=0,HED=1"]


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    """A card of three policies over 60 situations an env, made in two goes: as if the first had
    been killed in dilemmas.
    """
    out = tmp_path_factory.mktemp("card")
    found = subjects(THREE)
    begun = out / "runs" / found[0].folder / "dilemmas"
    execute(RunConfig(env="valueagents/Dilemma-v0", policy=THREE[0], episodes=30), begun)
    return make_card(found, out, budget=Budget(tokens=1000)), out


@pytest.mark.slow
def test_three_weights_are_told_apart_and_ranked_right(three):
    made, out = three
    assert made.pages[0].name == "card.html"
    assert len(made.pages) == 4
    rows = (out / "tables" / "ranks.csv").read_text(encoding="utf-8").splitlines()
    caring = [row.replace('"', "").rsplit(",", 2) for row in rows if '"dilemmas","BEC"' in row]
    assert [each[1:] for each in caring] == [["1", "1"], ["2", "2"], ["3", "3"]]
    assert "hold at 5 % over all of them" in made.answer[0]


@pytest.mark.slow
def test_what_was_played_before_is_not_asked_again(three):
    made, out = three
    runs = [Run(file.parent) for file in out.glob("runs/*/*/run.json")]
    assert len(runs) == 12
    played = {run.path: run.decisions(["episode"]).num_rows for run in runs}
    begun = out / "runs" / subjects(THREE)[0].folder / "dilemmas"
    owed = [each["owed"] for each in Run(begun).store.sessions() if "owed" in each]
    assert owed[0] == 30
    assert sum(owed[1:]) >= 162
    again = make_card(subjects(THREE), out, budget=Budget(tokens=1000))
    assert again.answer == made.answer
    for run in runs:
        assert Run(run.path).decisions(["episode"]).num_rows == played[run.path]
        assert [e["owed"] for e in run.store.sessions() if "owed" in e][-1] == 0


@pytest.mark.slow
def test_a_page_says_what_was_taken_and_what_was_not_asked(three):
    made, _ = three
    page = made.pages[1].read_text(encoding="utf-8")
    assert "the same of everybody, in the order of one seed: 960 of 960 survey" in page
    assert "The parser game was not asked" in page
    assert "What it states (survey) and does (dilemmas)" in page
    assert "<script" not in page
    assert "known:BEC=0.7" not in page  # a page is of one policy
    assert "known:BEC=1.4 could not be asked in easy questions: it chooses by annotations" in page


@pytest.fixture
def coats(counting, tmp_path, monkeypatch):
    """The engine, and a card of nothing but 400 short dilemmas."""
    bank = items(tmp_path / "coats.jsonl", "coats", 400)
    ask_only([CardEnv("coats", "valueagents/Dilemma-v0", {"data": str(bank)})], monkeypatch)
    return counting


def ask_only(envs, monkeypatch):
    """Cards ask in these envs."""

    async def found(*_, **__):
        return envs, []

    monkeypatch.setattr(making, "card_envs", found)


@pytest.mark.slow
def test_a_model_its_adapters_and_persona_are_loaded_once(coats, tmp_path):
    found = subjects(["counting:x"], ["a", "b"], ["HED-1"])
    made = make_card(found, tmp_path / "card", budget=Budget(tokens=1))
    assert coats.events == ["load x with a, b", "free x"]
    assert set(coats.asked) == {"base", "hash of a", "hash of b"}
    assert len(made.pages) == 5


@pytest.mark.slow
def test_a_larger_budget_goes_on_from_what_was_asked(coats, tmp_path, monkeypatch):
    monkeypatch.setattr(making, "_PAGES_S", 0.0)
    coats.took_s = 0.01
    asked = []
    for minutes in (0.05, 0.06):
        make_card(subjects(["counting:x"]), tmp_path / "card", budget=Budget(minutes))
        asked.append(read_plan(tmp_path / "card").episodes["coats"])
    assert 64 < asked[0] <= asked[1] < 400
    [run] = (tmp_path / "card" / "runs").glob("*/coats")
    assert Run(run).decisions(["episode"]).num_rows == asked[1]


@pytest.mark.slow
def test_what_a_model_hardly_says_has_no_numbers_unless_asked_for(coats, tmp_path):
    coats.log_p, found, folder = -9.0, subjects(["counting:x"]), tmp_path / "card"
    refused = make_card(found, folder, budget=Budget(tokens=1))
    assert "nothing can be said" in refused.answer[1]
    asked_for = make_card(found, folder, budget=Budget(tokens=1), low_mass=True)
    assert "no leaning of counting:x can be claimed" in asked_for.answer[1]


HOSTILE = "<script>document.title='owned'</script><img src=owned>\u202e=1+1"


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """The pages of two policies with hostile names."""
    found = [CardSubject(HOSTILE, "random"), CardSubject("{{ 7*7 }}", "first")]
    survey = CardEnv("survey", "valueagents/Survey-v0", {"split": "eval"})
    with pytest.MonkeyPatch.context() as patch:
        ask_only([survey, CardEnv("dilemmas", "valueagents/Dilemma-v0")], patch)
        return make_card(
            found, tmp_path_factory.mktemp("hostile"), budget=Budget(tokens=1000)
        ).pages


@pytest.mark.slow
def test_a_hostile_name_is_inert(hostile):
    for page in hostile:
        html = page.read_text(encoding="utf-8")
        assert "<script" not in html
        assert "\u202e" not in html
    assert "{{ 7*7 }}" in hostile[0].read_text(encoding="utf-8")
    plan = json.loads((hostile[0].parent / "card.json").read_bytes())
    assert plan["episodes"]["dilemmas"] == 192


@pytest.mark.slow
@needs_chromium
def test_a_card_is_read_in_a_browser_and_runs_no_script(three, hostile, tmp_path):
    pytest.importorskip("aiohttp")
    with browser(tmp_path) as tab, tab.screen(PHONE):
        for page in (*three[0].pages, *hostile):
            tab.requested.clear()
            tab.go(page.as_uri())
            assert tab.script("document.title").startswith("What does it value?")
            assert tab.script("document.documentElement.scrollWidth") <= PHONE
            assert tab.script("document.querySelectorAll('script, img').length") == 0
            assert {url for url in tab.requested if "favicon" not in url} == {page.as_uri()}
        tab.go(three[0].pages[0].as_uri())
        assert "differences between 3 policies hold at 5 %" in tab.text()
        ranks = "[...document.querySelectorAll('summary')].find(e => /^Ranks/.test(e.innerText))"
        tab.script(f"{ranks}.id = 'ranks'")
        tab.click("#ranks")
        shown = tab.script("document.querySelector('#ranks').parentElement.innerText")
        assert re.search(r"Benevolence: caring\s+1–1\s+2–2\s+3–3", shown)


@pytest.mark.slow
def test_policies_that_value_the_same_are_seldom_told_apart(tmp_path):
    """A difference on 5 % of 40 pages; more than 6 are a 1 % event."""
    from valueagents.experiments.validity.card_calibration import menus, page

    envs = menus(tmp_path)
    false = sum(any(each.held for each in page(envs, seed, None).values()) for seed in range(40))
    assert false <= 6
    assert msgspec.json.encode(page(envs, 0, None)) == msgspec.json.encode(page(envs, 0, None))
