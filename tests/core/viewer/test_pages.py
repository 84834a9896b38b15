"""Pages over HTTP: what they say is what the runs hold, whatever their text, and nothing but that
is served.
"""

import json
import re
from html.parser import HTMLParser

import msgspec
import pytest

from valueagents.running.runs import Run
from valueagents.running.store import RunStore
from viewed import DILEMMAS, HOSTILE, get, keys, play, serving

pytest.importorskip("aiohttp")


@pytest.fixture(scope="module")
def port(folder):
    with serving(folder) as port:
        yield port


@pytest.fixture(scope="module")
def hostile_port(hostile_folder):
    with serving(hostile_folder) as port:
        yield port


class Page(HTMLParser):
    """The elements, addresses and text of a page."""

    def __init__(self, html):
        super().__init__()
        self.elements, self.links, self.words, self.attributes = set(), [], [], set()
        self.feed(html)
        self.text = re.sub(r"\s+", " ", " ".join(self.words))

    def handle_starttag(self, tag, attributes):
        self.elements.add(tag)
        self.attributes |= {name for name, _ in attributes}
        self.links += [value for name, value in attributes if name == "href"]

    def handle_data(self, data):
        self.words.append(data)


_ELEMENTS = """html head meta title style body nav main a h1 h2 h3 p small b table thead tbody tr th td form label
    select option input button details summary ul li dl dt dd article section div span pre"""
_ATTRIBUTES = """lang charset name content http-equiv href class id title method action formaction value selected type
    min max step open rel"""
ELEMENTS, ATTRIBUTES = set(_ELEMENTS.split()), set(_ATTRIBUTES.split())


def page(port, path):
    status, headers, html = get(port, path)
    assert status == 200, html
    found = Page(html)
    assert found.elements <= ELEMENTS, found.elements - ELEMENTS
    assert found.attributes <= ATTRIBUTES, found.attributes - ATTRIBUTES
    assert headers["Content-Security-Policy"].startswith("default-src 'none'; style-src 'sha256-")
    return found


def walk(port, most):
    """Every page that links lead to from the first, by address, up to a number."""
    from urllib.parse import urljoin

    todo, seen = ["/"], {}
    while todo and len(seen) < most:
        path = todo.pop(0)
        if path in seen:
            continue
        seen[path] = page(port, path)
        todo += [urljoin(path, link).partition("#")[0] for link in seen[path].links]
    return seen


def test_the_first_page_tells_of_every_run_and_pool(port, folder):
    shown = page(port, "/")
    for path, key in keys(folder).items():
        assert f"run/{key}.html" in shown.links
        assert path in shown.text
    assert "Runs: 6, with 268 finished episodes" in shown.text
    assert "pool 10 10 of random in valueagents/ChoiceScript-v0, seed 1 2" in shown.text


def test_runs_are_filtered_by_env_and_policy(port, folder):
    known = keys(folder)
    shown = page(port, "/index.html?env=valueagents%2FDilemma-v0&policy=random")
    links = [link for link in shown.links if link.startswith("run/")]
    assert links == [f"run/{known['random']}.html"]


def test_a_run_lists_its_episodes_in_pages(port, folder):
    key = keys(folder)["random"]
    episodes = list(Run(folder / "random").store.episodes())
    listed = []
    for number in ("", "-2", "-3"):
        shown = page(port, f"/run/{key}{number}.html")
        assert "Episodes: 120" in shown.text
        listed += [link for link in shown.links if "/episode/" in link]
    assert listed == [f"../episode/{key}/{each.identity}.html#d0" for each in episodes]
    assert get(port, f"/run/{key}-4.html")[0] == 404
    newest = page(port, f"/run/{key}.html?order=newest")
    first = next(link for link in newest.links if "/episode/" in link)
    assert episodes[-1].identity in first


def test_filtered_episodes_and_their_numbers_are_those_of_the_run(port, folder):
    key, run = keys(folder)["caring"], Run(folder / "caring")
    served = [
        episode.identity
        for episode in run.store.episodes()
        for each in episode.decisions
        if each.annotation.values[each.chosen].get("BEC", 0) > 0
        and each.choice.probabilities[each.chosen] >= 0.8
    ]
    shown = page(port, f"/run/{key}.html?value=BEC&side=chosen-serves&p_from=0.8")
    assert f"Episodes with such a decision: {len(served)}" in shown.text
    links = [link for link in shown.links if "/episode/" in link]
    assert links == [f"../episode/{key}/{each}.html#d0" for each in served[:50]]
    assert served


def test_episodes_of_all_runs_are_found_by_env_policy_and_value(port, folder):
    shown = page(port, "/find.html?env=valueagents%2FDilemma-v0&value=BEC&side=chosen-violates")
    count = 0
    for name in ("random", "caring"):
        for episode in Run(folder / name).store.episodes():
            each = episode.decisions[0]
            count += each.annotation.values[each.chosen].get("BEC", 0) < 0
    assert f"Episodes with such a decision: {count}" in shown.text
    assert count > 0


def test_a_transcript_shows_text_menu_values_and_probability_of_every_decision(port, folder):
    key, run = keys(folder)["caring"], Run(folder / "caring")
    episode = next(
        each for each in run.store.episodes()
        if "BEC" in each.decisions[0].annotation.values[each.decisions[0].chosen]
    )  # fmt: skip
    shown = page(port, f"/episode/{key}/{episode.identity}.html")
    (told,) = episode.decisions
    squeezed = re.sub(r"\s+", " ", told.observation)
    assert squeezed in shown.text
    for option in told.menu:
        assert option.text in shown.text
    text = re.escape(told.menu[told.chosen].text)
    percent = rf"{round(100 * told.choice.probabilities[told.chosen])}(\.\d+)? %"
    assert re.search(rf"{text} {percent} chosen [+−]", shown.text)
    assert "+BEC" in shown.text or "−BEC" in shown.text


def test_a_decision_has_an_address_of_its_own_with_all_that_was_shown_before_it(port, folder):
    key, run = keys(folder)["game/first"], Run(folder / "game" / "first")
    episode = next(run.store.episodes())
    shown = page(port, f"/episode/{key}/{episode.identity}/2.html")
    for each in episode.decisions[:3]:
        assert re.sub(r"\s+", " ", each.observation).strip()[:60] in shown.text
    assert shown.text.count("← chosen") == 2
    end = len(episode.decisions)
    assert get(port, f"/episode/{key}/{episode.identity}/{end}.html")[0] == 404


@pytest.mark.parametrize(
    ("first", "second"),
    [("random", "caring"), ("game/random", "game/first"), ("pool/random", "pool/first")],
)
def test_two_policies_side_by_side_part_where_their_choices_differ_first(
    port, folder, first, second
):
    known = keys(folder)
    runs = [Run(folder / name) for name in (first, second)]
    by = [{(e.situation, e.repetition): e for e in run.store.episodes()} for run in runs]
    parts = {}
    for name, mine in by[0].items():
        pairs = zip(mine.decisions, by[1][name].decisions, strict=False)
        differ = (k for k, (a, b) in enumerate(pairs) if a.choice.option != b.choice.option)
        step = next(differ, None)
        if step is not None:
            parts[mine.identity] = step
    assert parts
    address = f"/beside/{known[first]}/{known[second]}"
    shown = page(port, f"{address}.html")
    assert (
        f"Episodes in both: {len(by[0])}; the policies part in {len(parts)} of them" in shown.text
    )
    identity, step = next(iter(parts.items()))
    together = page(port, f"{address}/{identity}.html")
    assert f"They part at step {step}" in together.text
    assert f"Step {step}: they part" in together.text
    assert together.text.count(": they part") == 1
    every = page(port, f"{address}.html?pairs=all")
    assert every.text.count("never") == min(50, len(by[0])) - len(
        [e for e in list(by[0].values())[:50] if e.identity in parts]
    )


def test_runs_of_different_envs_cannot_be_laid_side_by_side(port, folder):
    known = keys(folder)
    address = f"/beside/{known['random']}/{known['game/first']}.html"
    assert "cannot be laid side by side" in page(port, address).text


def test_games_of_different_seeds_have_no_episode_in_common(tmp_path):
    from viewed import GAME

    play(tmp_path / "a", GAME, "random", 1, seed=1)
    play(tmp_path / "b", GAME, "random", 1, seed=2)
    known = keys(tmp_path)
    with serving(tmp_path) as port:
        shown = page(port, f"/beside/{known['a']}/{known['b']}.html")
    assert "their seeds differ" in shown.text


def test_a_run_that_goes_on_shows_new_episodes_when_the_page_is_asked_for_again(tmp_path):
    played = play(tmp_path / "a", DILEMMAS, "random", 4)
    episodes = list(played.store.episodes())
    store = RunStore.create(tmp_path / "live" / "b", msgspec.structs.replace(played.header, seed=5))
    with serving(tmp_path / "live") as port, store.writing() as writer:
        writer.session({"start": "2026-01-01", "planned": 4, "stored": 0, "owed": 4})
        key = keys(tmp_path / "live")["b"]
        for count, episode in enumerate(episodes, 1):
            writer.episode(episode)
            shown = page(port, f"/run/{key}.html?order=newest&reload=5")
            assert f"Episodes finished: {count} of 4" in shown.text
            assert "Not ended" in shown.text
            assert episode.identity in next(link for link in shown.links if "/episode/" in link)
            assert page(port, f"/episode/{key}/{episode.identity}.html")
        assert 'http-equiv="refresh" content="5"' in get(port, f"/run/{key}.html?reload=5")[2]


def test_a_failed_episode_is_listed_with_its_error(hostile_port, hostile_folder):
    key = next(iter(keys(hostile_folder).values()))
    shown = page(hostile_port, f"/run/{key}.html?status=failed")
    assert "Failed episodes: 1" in shown.text


def test_no_text_of_a_run_becomes_markup_on_any_page(hostile_port):
    pages = walk(hostile_port, 200)
    kinds = {path.split("/")[1].split(".")[0] for path in pages}
    assert {"", "index", "run", "episode", "beside"} <= kinds
    for path in list(pages):
        if path.startswith("/run/"):
            for query in ("?status=failed", "?value=B", "?order=newest&reload=5"):
                pages[path + query] = page(hostile_port, path + query)
    for path, shown in pages.items():
        assert not shown.elements & {"script", "img"}, path
        for link in shown.links:
            assert re.fullmatch(r"[./a-z0-9A-Z_#?&=-]*", link), (path, link)
        hidden = set("\u202e\x1b\u200b") & set("".join(shown.words))
        assert not hidden, path
    assert any("[U+202E]" in shown.text for shown in pages.values())
    assert any("[U+001B]" in shown.text for shown in pages.values())
    assert any("{{ 7 * 7 }}" in shown.text for shown in pages.values())


def test_what_an_address_holds_is_shown_as_text_or_refused(hostile_port, port, folder):
    from urllib.parse import quote

    key = keys(folder)["random"]
    for field in ("env", "policy", "value", "reading", "find"):
        page(port, f"/find.html?{field}={quote(HOSTILE)}")
        page(port, f"/run/{key}.html?{field}={quote(HOSTILE)}")
    for field in ("side", "status", "p_from", "p_to", "reload", "pairs"):
        status, _, html = get(port, f"/run/{key}.html?{field}={quote(HOSTILE)}")
        assert status == 400
        assert Page(html).elements <= ELEMENTS
    for bad in ("nan", "inf", "-1", "2", "1e999"):
        assert get(port, f"/run/{key}.html?p_from={bad}")[0] == 400


@pytest.mark.parametrize(
    "path",
    [
        "/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/run/../../x.html", "/run/%00.html",
        "/random/run.json", "/episode/{key}/..%2f..%2frun.json.html", "/episode/{key}/none.html",
        "/run/000000000000.html", "/run/{key}-0.html", "/run/{key}-999999999999.html", "//evil/",
        "/episode/{key}/none/0.html", "/beside/{key}/000000000000.html", "/find-99.html",
    ],
)  # fmt: skip
def test_nothing_but_pages_of_the_folder_is_served(port, folder, path):
    status, headers, html = get(port, path.replace("{key}", keys(folder)["random"]))
    assert status == 404
    assert "root:" not in html
    assert Page(html).elements <= ELEMENTS
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")


def test_a_request_that_names_another_host_is_refused(port):
    for host in ("evil.example", f"evil.example:{port}", "127.0.0.1:1", "localhost", ""):
        status, _, text = get(port, "/", host=host or " ")
        assert status in (400, 421), host
        assert "Runs:" not in text
    for host in (f"127.0.0.1:{port}", f"localhost:{port}"):
        assert get(port, "/", host=host)[0] == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_nothing_but_reading_is_allowed(port, method):
    status, headers, _ = get(port, "/", method=method)
    assert status == 405
    assert "Content-Security-Policy" in headers


def test_a_run_that_is_removed_meanwhile_is_gone_from_the_pages(tmp_path):
    import shutil

    play(tmp_path / "a", DILEMMAS, "random", 3)
    key = keys(tmp_path)["a"]
    with serving(tmp_path) as port:
        assert page(port, f"/run/{key}.html")
        shutil.rmtree(tmp_path / "a")
        assert get(port, f"/run/{key}.html")[0] == 404
        assert "No run is here" in page(port, "/").text


def test_damaged_and_foreign_folders_are_named_on_the_first_page(tmp_path):
    play(tmp_path / "a", DILEMMAS, "random", 3)
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "run.json").write_text(json.dumps({"name": "x"}))
    with serving(tmp_path) as port:
        shown = page(port, "/")
    assert "What cannot be read" in shown.text
    assert "foreign" in shown.text
