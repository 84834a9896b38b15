"""A third party's package: an engine, a reading mode, a prompt and a policy, found by its metadata,
used by spec.

The engine and the reading mode are the examples of policies/guide.md, as they are printed there.
"""

import asyncio
import re
import sys
import tomllib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec
import pytest

import valueagents.policies
from valueagents.contracts import entry_points
from valueagents.contracts.plugins import (
    POLICIES,
    OptionDoc,
    commands,
    describe,
    listing,
    load,
    make_policy,
    names,
)
from valueagents.contracts.policy import View
from valueagents.errors import ConfigError
from valueagents.policies.elicitation import read_elicitation
from valueagents.policies.engines import (
    Engine,
    GenerateReply,
    GenerateRequest,
    ScoreReply,
    ScoreRequest,
    make_engine,
)
from valueagents.policies.engines.kept import KeptEngine
from valueagents.policies.engines.making import ENGINES
from valueagents.policies.engines.reply_cache import CachingEngine
from valueagents.policies.language import LanguagePolicy, language_policy
from valueagents.policies.prompts import PROMPTS, load_prompt, prompt_names
from valueagents.policies.readings import READINGS, LabelReading, known_readings
from valueagents.running.execution import RunConfig, execute
from valueagents.running.runs import Run

GUIDE = Path(valueagents.policies.__file__).with_name("guide.md").read_text(encoding="utf-8")
ENGINE, READING = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
TABLES = re.findall(r"```toml\n(.*?)```", GUIDE, re.DOTALL)
OTHERS = '''
from pathlib import Path
from valueagents.contracts.decision import Choice
from valueagents.contracts.policy import Policy
from valueagents.policies.prompts import load_prompt

WORDS = Path(__file__).with_name("blunt.toml")
OURS_AGAIN = load_prompt("choose-1")
NEITHER = 3

class Last(Policy):
    """Always the last option."""

    def identity(self):
        return {"policy": "last/1"}

    async def decide(self, view):
        return Choice(view.menu[-1].id, "argmax")
'''
PROJECT = f"""
[project]
name = "plugin-of-a-test"
version = "1"
{"".join(TABLES)}
[project.entry-points."{PROMPTS}"]
blunt = "others_plugin:WORDS"
again = "others_plugin:OURS_AGAIN"
neither = "others_plugin:NEITHER"

[project.entry-points."{POLICIES}"]
last = "others_plugin:Last"
"""
BLUNT = """
id = "blunt-1"
asks = "choose"
open = "{observation}\\nWell?"
listed = "{observation}\\n{options}\\nWell?"
option = "{label} {text}"
neutral = "Well?"
[answers]
letter = "Letter?"
reasoning = "Think."
command = "Command?"
"""
MODULES = ("terse_plugin", "yes_no_plugin", "others_plugin", "broken_plugin")


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Makes a package importable, with the metadata that an installer would write for its
    pyproject.toml.
    """
    entry_points.warn_once.cache_clear()
    site = tmp_path / "site"
    site.mkdir()

    def write(project: str) -> None:
        (site / "terse_plugin.py").write_text(ENGINE, encoding="utf-8")
        (site / "yes_no_plugin.py").write_text(READING, encoding="utf-8")
        (site / "others_plugin.py").write_text(OTHERS, encoding="utf-8")
        (site / "blunt.toml").write_text(BLUNT, encoding="utf-8")
        table = tomllib.loads(project)["project"]
        info = site / f"{table['name'].replace('-', '_')}-{table['version']}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {table['name']}\nVersion: {table['version']}\n"
        )
        lines = []
        for group, points in table["entry-points"].items():
            lines += [f"[{group}]", *(f"{name} = {value}" for name, value in points.items())]
        (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
        monkeypatch.syspath_prepend(site)

    yield write
    for name in MODULES:
        sys.modules.pop(name, None)


@pytest.fixture
def installed(install: Callable[[str], None]) -> None:
    """The package, sound."""
    install(PROJECT)


def _played(spec: str, out: Path, episodes: int = 3) -> Run:
    played = execute(
        RunConfig(env="valueagents/Dilemma-v0", policy=spec, episodes=episodes, seed=1), out
    )
    assert played.failed() == []
    assert len(played.episodes()) == episodes
    return played


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    "spec",
    [
        "terse:one",
        "terse:one?cost=0&reading=label&prompt=blunt",
        "terse:one?reading=yes-no&pick=argmax",
        "terse:one?prompt={blunt}",
        "last",
    ],
)
def test_an_episode_is_played_by_spec_with_what_a_package_brings(
    spec: str, tmp_path: Path, out: Path
):
    played = _played(spec.format(blunt=tmp_path / "site" / "blunt.toml"), out)
    for episode in played.episodes():
        for decision in episode.decisions:
            assert decision.chosen is not None


@pytest.mark.usefixtures("installed")
def test_a_plugged_in_reading_asks_a_bundled_engine(tiny_model: Path, dilemma: View):
    policy = make_policy(f"transformers:{tiny_model}?reading=yes-no&question=Well, yes or no?")
    assert isinstance(policy, LanguagePolicy)
    assert policy.identity()["question"] == "Well, yes or no?"

    async def decide() -> tuple[float, ...] | None:
        async with policy:
            return (await policy.decide(dilemma)).probabilities

    probabilities = asyncio.run(decide())
    assert probabilities is not None
    assert sum(probabilities) == pytest.approx(1)
    assert len(set(probabilities)) == len(dilemma.menu)


@pytest.mark.usefixtures("installed")
def test_a_plugged_in_engine_is_read_as_it_says_and_answers_as_its_options_say(dilemma: View):
    policy = make_policy("terse:one")
    assert policy.identity()["reading"] == "likelihood/2"
    assert make_policy("terse:one?reading=label").identity()["reading"] == "label/1"
    assert policy.identity()["cost"] == "0.1"
    uniform, short = (
        asyncio.run(
            make_policy(f"terse:one?normaliser=sum&cost={cost}").decide(dilemma)
        ).probabilities
        for cost in ("0", "1")
    )
    assert uniform == pytest.approx([1 / 3] * 3)
    lengths = [len(option.text) for option in dilemma.menu]
    assert short.index(max(short)) == lengths.index(min(lengths))


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("terse:one?cots=1", r"unknown option of terse 'cots'\. Did you mean 'cost'\?"),
        ("terse:one?cost=-1", r"option cost=-1(\.0)? of terse: .*>= 0"),
        ("terse:one?cost=much", r"option cost=much of terse: "),
        (
            "terse:one?reading=say",
            r"TerseEngine cannot do generate, only score; use another engine or reading",
        ),
        ("terse:one?adapter=runs/a", r"TerseEngine cannot do adapters, only score"),
        (
            "terse:one?question=Why?",
            r"option question of terse does nothing with reading=likelihood; it is for reading=y",
        ),
        ("terse:one?reading=yesno", r"unknown reading 'yesno'\. Did you mean 'yes-no'\?"),
        ("terse:one?prompt=blnt", r"unknown prompt 'blnt'\. Did you mean 'blunt'\?"),
        (
            "terse:one?prompt=neither",
            r"prompt 'neither' is a int; register a Prompt or the path of a \.toml file",
        ),
        ("terse", r"policy 'terse' needs a target: terse:TARGET"),
        ("ters:one", r"unknown policy 'ters'\. Did you mean 'terse'\?"),
    ],
)
def test_what_is_wrong_with_a_plug_in_is_said_as_with_ours(spec: str, message: str):
    with pytest.raises(ConfigError, match=message):
        make_policy(spec)


@pytest.mark.usefixtures("installed")
def test_a_prompt_of_a_package_is_known_by_its_content(tmp_path: Path):
    assert {"blunt", "again", "choose-1"} <= set(prompt_names())
    assert load_prompt("blunt") == load_prompt(str(tmp_path / "site" / "blunt.toml"))
    assert load_prompt("blunt").id == "blunt-1"
    assert load_prompt("again").hash() == load_prompt("choose-1").hash()


@pytest.mark.usefixtures("installed")
def test_a_listing_explains_what_is_plugged_in_like_what_is_bundled():
    docs = {doc.name: doc for doc in listing(POLICIES)}
    assert docs["terse"].summary == "A model of no words: the shorter a text, the likelier it is."
    assert docs["terse"].target == "what the model calls itself."
    assert (
        OptionDoc("cost", "number ≥ 0", "0.1", "nats of each character.") in docs["terse"].options
    )
    for name in ("terse", "transformers"):
        options = {option.name: option for option in docs[name].options}
        assert options["question"].does == "reading=yes-no: put after the option's text."
        assert options["pick"].does.startswith(
            "reading=label or reading=likelihood or reading=sentences or reading=top or"
            " reading=yes-no: draw"
        )
        assert (
            options["reading"].type
            == "label | likelihood | sample | say | sentences | top | yes-no"
        )
        named = options["prompt"].type.split(" | ")
        assert {"again", "blunt", "neither", "choose-1 to choose-7", "FILE.toml"} <= set(named)
    readings = {
        name: {o.name: o for o in docs[name].options}["reading"].default
        for name in ("terse", "openai")
    }
    assert readings == {"terse": "likelihood", "openai": "label"}
    assert describe(load(POLICIES, "terse")) == docs["terse"].options


@pytest.mark.parametrize(
    "text", ["def f(:\n", "import no_such_module\n", "raise RuntimeError('out of order')\n", ""]
)
def test_a_broken_module_of_the_package_is_warned_of_and_breaks_nothing(
    install: Callable[[str], None],
    tmp_path: Path,
    out: Path,
    caplog: pytest.LogCaptureFixture,
    text: str,
):
    groups = {
        ENGINES: "engine",
        READINGS: "reading",
        PROMPTS: "prompt",
        POLICIES: "policy",
        "valueagents.commands": "x",
    }
    broken = {
        group: f'{group}"]\nbroken-{kind} = "broken_plugin:Made"\n'
        for group, kind in groups.items()
    }
    project = PROJECT
    for group in (ENGINES, READINGS, PROMPTS, POLICIES):
        project = project.replace(f'{group}"]\n', broken.pop(group))
    project += "".join(f'\n[project.entry-points."{rest}' for rest in broken.values())
    install(project)
    (tmp_path / "site" / "broken_plugin.py").write_text(text)

    _played("terse:one?reading=yes-no&prompt=blunt", out)
    assert {"terse", "transformers", "last"} <= {doc.name for doc in listing(POLICIES)}
    assert "yes-no" in known_readings()
    assert "serve" in commands()
    told = [record.getMessage() for record in caplog.records if record.name == "valueagents"]
    for kind in ("engine", "reading", "policy"):
        [warning] = [
            line
            for line in told
            if f"{kind} 'broken-{kind}'" in line and "cannot be imported" in line
        ]
        assert "broken_plugin:Made, package plugin-of-a-test" in warning
    assert sum("command 'broken-x'" in line for line in told) == 1

    for spec in (
        "broken-policy",
        "broken-engine:x",
        "terse:x?reading=broken-reading",
        "terse:x?prompt=broken-prompt",
    ):
        with pytest.raises(
            ConfigError, match=r"'broken-\w+' \(broken_plugin:Made, package .*\) cannot be imported"
        ):
            make_policy(spec)


class OddReading(LabelReading):
    """Declares an option of a type that does not exist."""

    class Options(msgspec.Struct):
        size: "NoSuchType" = 0  # noqa: F821


def test_a_reading_whose_options_cannot_be_read_spoils_no_listing(
    install: Callable[[str], None], caplog: pytest.LogCaptureFixture
):
    install(PROJECT.replace(f'{READINGS}"]\n', f'{READINGS}"]\nodd = "{__name__}:OddReading"\n'))
    assert {"terse", "transformers"} <= {doc.name for doc in listing(POLICIES)}
    with pytest.raises(ConfigError, match="unknown option of terse 'szie'"):
        make_policy("terse:one?szie=1")
    [warning] = [record.getMessage() for record in caplog.records if record.name == "valueagents"]
    assert "the options of reading 'odd' cannot be read: NameError: name 'NoSuchType'" in warning


class _Adapter(msgspec.Struct, frozen=True):
    name: str


class AdaptedEngine(Engine):
    """Has adapters that are called by what they are given as, twice."""

    can = frozenset({"score", "adapters"})
    live = 1

    def __init__(self, target: str, options: msgspec.Struct, adapters: Sequence[str] = ()) -> None:
        self.given, self.asked = adapters, []

    @property
    def adapters(self) -> tuple[_Adapter, ...]:
        return tuple(_Adapter(each * 2) for each in self.given)

    def identity(self) -> dict[str, str]:
        return {"engine": "adapted/1"}

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def score(self, request: ScoreRequest) -> ScoreReply:
        self.asked.append(request.adapter)
        count = len(request.continuations)
        return ScoreReply(((-1.0,) * count,) * len(request.chats), (1,) * count, 1, 0)

    async def generate(self, request: GenerateRequest) -> GenerateReply:
        raise NotImplementedError


class Clashing(AdaptedEngine):
    """Has an option that is every policy's."""

    class Options(msgspec.Struct):
        history: int = 1


class ClashingWithAReading(AdaptedEngine):
    """Has an option that is one reading's."""

    class Options(msgspec.Struct):
        rotations: int = 1


ADAPTED = PROJECT.replace(f'{ENGINES}"]\n', f'{ENGINES}"]\nadapted = "{__name__}:AdaptedEngine"\n')


def test_any_engine_with_adapters_serves_a_study(install: Callable[[str], None], dilemma: View):
    """As a study does: one engine for all adapters, kept, and a policy for each by the adapter's
    name.
    """
    install(ADAPTED)
    engine = make_engine("adapted", "x", {}, ["a", "b"])
    kept = KeptEngine(engine)
    assert [adapter.name for adapter in kept.adapters] == ["aa", "bb"]
    elicitation = read_elicitation(
        {"reading": "label", "rotations": "none"}, default_reading=engine.default_reading
    )
    named = [
        language_policy(kept, elicitation, adapter)
        for adapter in (None, lambda: "aa", lambda: "bb")
    ]

    async def ask() -> None:
        for policy in named:
            async with policy:
                await policy.decide(dilemma)

    asyncio.run(ask())
    assert engine.asked == [None, "aa", "bb"]
    assert [policy.identity()["adapter"] for policy in named] == ["none", "aa", "bb"]


def test_an_adapter_of_a_spec_is_called_by_the_engines_name_for_it(
    install: Callable[[str], None], dilemma: View, tmp_path: Path
):
    install(ADAPTED)
    policy = make_policy(f"adapted:x?adapter=a&cache={tmp_path / 'replies.sqlite'}")
    assert isinstance(policy.engine, CachingEngine)
    assert [adapter.name for adapter in policy.engine.adapters] == ["aa"]
    assert policy.identity()["adapter"] == "aa"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Clashing", r"engine 'clash' has an option 'history', which every policy has; rename it"),
        (
            "ClashingWithAReading",
            r"engine 'clash' and reading mode both have an option 'rotations'",
        ),
        (
            "_Adapter",
            (
                r"engine 'clash' \(.*_Adapter, package plugin-of-a-test\) is not a subclass of"
                r" .*\.Engine"
            ),
        ),
    ],
)
def test_an_engine_that_cannot_be_a_policy_says_why(
    install: Callable[[str], None], name: str, message: str
):
    install(PROJECT.replace(f'{ENGINES}"]\n', f'{ENGINES}"]\nclash = "{__name__}:{name}"\n'))
    assert "clash" in names(POLICIES)
    with pytest.raises(ConfigError, match=message):
        make_policy("clash:x")
