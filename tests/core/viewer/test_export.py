"""The pages as files, and the command."""

import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from urllib.parse import urljoin

import pytest

from valueagents.errors import ConfigError
from valueagents.running.inventory import take_inventory
from valueagents.running.runs import Run
from valueagents.viewer.export import export
from viewed import DILEMMAS, GAME, keys, play

LINK = re.compile(r'href="([^"]*)"')


def quiet(*_):
    pass


def files(out):
    return {str(file.relative_to(out)) for file in out.rglob("*") if file.is_file()}


def written(folder, out):
    """The files of an export, each reachable from the first, no link of theirs leading nowhere."""
    assert export(folder, out, quiet) == out / "index.html"
    found = files(out)
    reached, todo = set(), ["index.html"]
    while todo:
        path = todo.pop()
        if path in reached:
            continue
        reached.add(path)
        html = (out / path).read_text(encoding="utf-8")
        assert "<form" not in html
        assert "default-src &#39;none&#39;" in html
        for link in LINK.findall(html):
            target, _, mark = urljoin(path, link).partition("#")
            assert target in found, (path, link)
            if mark:
                assert f'id="{mark}"' in (out / target).read_text(encoding="utf-8")
            todo.append(target)
    assert reached == found
    return found


@pytest.mark.slow
def test_every_page_is_written_and_reached_by_links_that_lead_somewhere(tmp_path):
    shown = tmp_path / "shown"
    runs = [play(shown / name, DILEMMAS, name, 60) for name in ("random", "first")]
    play(shown / "game", GAME, "first", 1)
    assert take_inventory(shown).unreadable == []
    found = written(shown, tmp_path / "out")
    for run in runs:
        key = keys(shown)[run.path.name]
        for episode in run.store.episodes():
            assert f"episode/{key}/{episode.identity}.html" in found
            assert f"episode/{key}/{episode.identity}/0.html" in found
        assert f"run/{key}-2.html" in found
    known = keys(shown)
    assert f"beside/{known['first']}/{known['random']}.html" in found
    assert any(name.startswith(f"beside/{known['first']}/{known['random']}/") for name in found)


@pytest.mark.slow
def test_what_a_form_would_filter_has_pages(tmp_path):
    """Runs by env and policy, decisions by value, chosen or refused."""
    shown = tmp_path / "shown"
    caring = play(shown / "caring", DILEMMAS, "known:BEC=3", 120)
    play(shown / "random", DILEMMAS, "random", 5)
    play(shown / "game", GAME, "random", 1)
    found, key = written(shown, tmp_path / "out"), keys(shown)["caring"]
    served = {
        episode.identity
        for episode in caring.store.episodes()
        for each in episode.decisions
        if each.annotation.values[each.chosen].get("BEC", 0) > 0
    }
    place = caring.header.taxonomy.index("BEC")
    page = (tmp_path / "out" / f"run/{key}/{place}-chosen-serves.html").read_text("utf-8")
    assert f"Episodes with such a decision: {len(served)}" in page
    assert "Only decisions in which Benevolence: caring is served by the option chosen." in page
    assert set(re.findall(rf"episode/{key}/(\w+)\.html", page)) <= served
    assert len(served) <= 50
    of_env = [name for name in found if name.startswith("env/")]
    of_policy = [name for name in found if name.startswith("policy/")]
    assert (len(of_env), len(of_policy)) == (2, 2)
    runs = {name: (tmp_path / "out" / name).read_text("utf-8") for name in (*of_env, *of_policy)}
    assert sorted(html.count('<td class="id"><a') for html in runs.values()) == [1, 1, 2, 2]


def test_hostile_runs_are_written_under_plain_names(hostile_folder, tmp_path):
    for name in written(hostile_folder, tmp_path / "out"):
        assert re.fullmatch(r"[a-z0-9/.-]+", name)
        html = (tmp_path / "out" / name).read_text(encoding="utf-8")
        assert not re.search(r"<(script|img|iframe)", html)
        assert "\u202e" not in html


def test_nothing_is_written_over(tmp_path):
    play(tmp_path / "shown" / "a", DILEMMAS, "random", 2)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(ConfigError, match="exists"):
        export(tmp_path / "shown", tmp_path / "out", quiet)
    with pytest.raises(ConfigError, match="is not a folder"):
        export(tmp_path / "nothing", tmp_path / "new", quiet)
    assert files(tmp_path / "out") == {"mine.txt"}
    assert not (tmp_path / "new").exists()


def test_an_export_holds_no_absolute_path_of_the_machine_in_its_links(tmp_path):
    play(tmp_path / "shown" / "a", DILEMMAS, "random", 2)
    export(tmp_path / "shown", tmp_path / "out", quiet)
    for name in files(tmp_path / "out"):
        for link in LINK.findall((tmp_path / "out" / name).read_text(encoding="utf-8")):
            assert not link.startswith(("/", "http", "file"))


def command(*words):
    code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    code += "from valueagents.cli import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )


@pytest.mark.slow
def test_the_command_serves_on_loopback_until_ctrl_c_which_is_one_line_and_130(tmp_path):
    pytest.importorskip("aiohttp")
    run = play(tmp_path / "a", DILEMMAS, "random", 3)
    process = command("view", tmp_path, "--port", "0")
    line = process.stdout.readline()
    address = re.match(r"http://127\.0\.0\.1:\d+/", line)
    assert address, process.stderr.read()
    with urllib.request.urlopen(address[0]) as answer:
        assert f"run/{keys(tmp_path)['a']}.html" in answer.read().decode()
    port = address[0].rstrip("/").rpartition(":")[2]
    second = command("view", tmp_path, "--port", port)
    _, said = second.communicate(timeout=60)
    assert second.returncode == 2
    assert said.startswith(f"error: port {port} of 127.0.0.1 is taken")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (130, "", "stopped\n")
    assert Run(run.path).problems() == []


@pytest.mark.slow
def test_the_command_writes_files_and_refuses_what_is_no_folder(tmp_path):
    play(tmp_path / "shown" / "a", DILEMMAS, "random", 3)
    process = command("view", tmp_path / "shown", "--export", tmp_path / "out")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert Path(out.strip()) == tmp_path / "out" / "index.html"
    process = command("view", tmp_path / "nothing", "--port", "0")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert err.count("\n") == 1
    assert "is not a folder" in err
