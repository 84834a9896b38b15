"""Entry points: names, makers, families of policies, and broken plug-ins that end nothing but
themselves.
"""

import logging
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import pytest

from valueagents.contracts import entry_points as registry
from valueagents.contracts.environment import ValueEnv
from valueagents.contracts.plugins import (
    COMMANDS,
    ENVS,
    POLICIES,
    POLICY_FAMILIES,
    OptionDoc,
    PolicyFamily,
    PolicyMaker,
    commands,
    describe,
    listing,
    load,
    loadable,
    make_env,
    make_policy,
    names,
    walk,
)
from valueagents.contracts.policy import Policy
from valueagents.errors import ConfigError
from valueagents.policies.scripted import FirstPolicy, KnownPolicy, RandomPolicy

DILEMMA = "valueagents/Dilemma-v0"
BROKEN = {
    "syntax": ("def f(:\n", "SyntaxError"),
    "name": ("nothing_of_that_name\n", "NameError: name 'nothing_of_that_name' is not defined"),
    "attribute": ("import os\nos.no_such_thing\n", "AttributeError"),
    "import": (
        "import no_such_module_of_a_test\n",
        "ModuleNotFoundError: No module named 'no_such_module_of_a_test'",
    ),
    "exit": ("raise SystemExit(3)\n", "SystemExit: 3"),
    "error": ("raise RuntimeError('two\\nlines')\n", "RuntimeError: two$"),
    "missing": ("", "AttributeError: module 'broken_missing_of_a_test' has no attribute 'made'"),
}


class NotAPolicy:
    """Found under a policy's name."""


class Targeted(FirstPolicy):
    """First, but with a target.

    Args:
        target: kept as it is.
        seed: not used.
    """

    def __init__(self, target: str, *, seed: int = 0) -> None:
        self.target = target


class Unreadable:
    """Its options are of a type that does not exist."""

    def __init__(self, *, size: "no_such_type" = 0) -> None:  # noqa: F821
        """Never called."""


class Numbered(PolicyMaker):
    """Makes first policies that know their number."""

    summary, target = "A numbered policy.", "anything"

    def __init__(self, name: str) -> None:
        self.name = name

    def describe(self) -> list[OptionDoc]:
        return [OptionDoc("size", "integer", "0", "not used.")]

    def make(self, target: str, options: Mapping[str, object]) -> Policy:
        return Targeted(f"{self.name} {target} {dict(options)}")


class Numbers(PolicyFamily):
    """Policies named one and two, and one that has the name of ours."""

    def names(self) -> Iterable[str]:
        return ("one", "two", "random")

    def maker(self, name: str) -> PolicyMaker:
        if name == "two":
            raise ConfigError("number 'two' cannot be imported")
        return Numbered(name)


class BrokenFamily(PolicyFamily):
    """Fails when asked for its names."""

    def names(self) -> Iterable[str]:
        raise RuntimeError("out of order")

    def maker(self, name: str) -> PolicyMaker:
        raise NotImplementedError


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Install entry points as a third party's package would."""
    registry.warn_once.cache_clear()

    def write(group: str, package: str = "plugin-of-a-test", /, **points: str) -> None:
        dist = tmp_path / f"{package.replace('-', '_')}-0.dist-info"
        dist.mkdir(exist_ok=True)
        (dist / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 0\n")
        lines = [f"{name} = {value}" for name, value in points.items()]
        with (dist / "entry_points.txt").open("a") as file:
            file.write("\n".join([f"[{group}]", *lines, ""]))
        monkeypatch.syspath_prepend(tmp_path)

    return write


@pytest.fixture
def module(tmp_path: Path) -> Callable[[str, str], str]:
    """Writes a module beside the installed metadata; its name comes back."""

    def write(name: str, text: str) -> str:
        (tmp_path / f"{name}.py").write_text(text)
        return name

    return write


def test_our_own_names_are_found_sorted():
    assert {"first", "known", "random", "transformers"} <= set(names(POLICIES))
    assert DILEMMA in names(ENVS)
    assert list(names(POLICIES)) == sorted(names(POLICIES))


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("randm", r"unknown policy 'randm'\. Did you mean 'random'\?"),
        ("", "unknown policy ''"),
        ("RANDOM", "Did you mean 'random'"),
        ("random:x", r"policy 'random' takes no target; write 'random' instead of 'random:x'"),
        ("random:", "takes no target"),
        ("random?seed=1", r"unknown option of random 'seed'\. Known: none"),
        ("random?seed", r"policy spec 'random\?seed': options are written \?name=value&name=value"),
        ("random?&", "options are written"),
        ("known", "policy 'known' needs a target: known:TARGET"),
        ("known:", "needs a target"),
        ("known:normal?sed=1", r"unknown option of known 'sed'\. Did you mean 'seed'"),
        ("known:normal?seed=one", "option seed=one of known: "),
        ("known:normal?seed=", "option seed= of known: "),
        ("known:normal?sd=-1", "option sd=-1(.0)? of known: "),
        ("known:normal?seed=-1", "seed=-1"),
        ("known:normal?seed=1&seed=2", "gives an option twice"),
        ("known:normal?taxonomy=gert", r"unknown taxonomy 'gert'\. Did you mean 'gert10'"),
    ],
)
def test_a_wrong_policy_spec_is_a_config_error_that_names_the_fault(spec, words):
    with pytest.raises(ConfigError, match=words):
        make_policy(spec)


def test_a_policy_spec_carries_target_and_options():
    policy = make_policy("known:normal?seed=4&sd=0.1&taxonomy=gert10")
    assert isinstance(policy, KnownPolicy)
    assert policy.identity() == KnownPolicy("normal", seed=4, sd=0.1, taxonomy="gert10").identity()
    assert isinstance(make_policy("random"), RandomPolicy)
    assert isinstance(make_policy("random?"), RandomPolicy)


def test_a_target_may_hold_colons_equal_signs_and_slashes(install):
    install(POLICIES, echo=f"{__name__}:Targeted")
    assert make_policy("echo:http://127.0.0.1:8000/v1=x").target == "http://127.0.0.1:8000/v1=x"


@pytest.mark.parametrize(
    ("env_id", "options", "words"),
    [
        ("Dilemma-v0", {}, r"unknown env 'Dilemma-v0'\. Did you mean 'valueagents/Dilemma-v0'\?"),
        (
            DILEMMA,
            {"stting": "home"},
            r"unknown option of valueagents/Dilemma-v0 'stting'\. Did you mean 'setting'",
        ),
        (DILEMMA, {"setting": "hone"}, r"unknown setting 'hone'\. Did you mean 'home'"),
        (DILEMMA, {"data": 3}, "option data=3 of valueagents/Dilemma-v0"),
        (DILEMMA, {"data": "nowhere.jsonl"}, "unknown data file 'nowhere.jsonl'"),
    ],
)
def test_a_wrong_env_is_a_config_error_that_names_the_fault(env_id, options, words):
    with pytest.raises(ConfigError, match=words):
        make_env(env_id, **options)


def test_a_third_partys_env_and_policy_are_found_like_our_own(install):
    install(ENVS, **{"other/Same-v0": "valueagents.envs.items.dilemma:DilemmaEnv"})
    assert isinstance(make_env("other/Same-v0", setting="home"), ValueEnv)
    assert "other/Same-v0" in names(ENVS)


def test_what_is_made_must_be_an_env_or_a_policy(install):
    install(POLICIES, thing=f"{__name__}:NotAPolicy")
    install(ENVS, **{"other/Thing-v0": f"{__name__}:NotAPolicy"})
    with pytest.raises(
        ConfigError,
        match=r"policy 'thing' made a NotAPolicy, not a Policy; subclass valueagents\.Pol",
    ):
        make_policy("thing")
    with pytest.raises(
        ConfigError, match=r"env 'other/Thing-v0' is a NotAPolicy, not a ValueEnv; subclass"
    ):
        make_env("other/Thing-v0")


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_plug_in_is_one_warning_that_names_it_and_an_error_only_when_asked_for(
    install, module, caplog, kind
):
    text, reason = BROKEN[kind]
    where = f"{module(f'broken_{kind}_of_a_test', text)}:made"
    install(POLICIES, broken=where, fine=f"{__name__}:Targeted")
    message = rf"policy 'broken' \({where}, package plugin-of-a-test\) cannot be imported: {reason}"
    assert isinstance(make_policy("random"), RandomPolicy)
    assert caplog.records == []  # nobody asked for it
    for _ in range(2):
        assert {"fine", "random"} <= set(loadable(POLICIES))
        assert "broken" not in loadable(POLICIES)
    [warning] = caplog.records
    assert warning.levelno == logging.WARNING
    with pytest.raises(ConfigError, match=message) as raised:
        load(POLICIES, "broken")
    assert warning.getMessage() == f"left out: {raised.value}"
    assert "broken" in names(POLICIES)
    assert {type(found) for name, found in walk(POLICIES) if name == "broken"} == {ConfigError}
    assert "broken" not in {doc.name for doc in listing(POLICIES)}


def test_a_plug_in_whose_annotations_cannot_be_read_is_left_out_of_listings(install, caplog):
    install(ENVS, **{"other/Odd-v0": f"{__name__}:Unreadable"})
    assert DILEMMA in {doc.name for doc in listing(ENVS)}
    assert "other/Odd-v0" not in {doc.name for doc in listing(ENVS)}
    [warning] = caplog.records
    assert (
        "env 'other/Odd-v0' cannot be described: NameError: name 'no_such_type'"
        in warning.getMessage()
    )


def test_metadata_that_is_damaged_costs_its_own_package_only(install, tmp_path, caplog):
    install(POLICIES, fine=f"{__name__}:Targeted")
    install(POLICIES, "damaged-package-of-a-test", lost=f"{__name__}:Targeted")
    damaged = tmp_path / "damaged_package_of_a_test-0.dist-info" / "entry_points.txt"
    damaged.write_text(f"[{POLICIES}]\nno equal sign\n")
    assert {"fine", "random"} <= set(names(POLICIES))
    assert isinstance(make_policy("random"), RandomPolicy)
    assert len(caplog.records) >= 1
    assert {"damaged-package-of-a-test" in record.getMessage() for record in caplog.records} == {
        True
    }


def test_what_a_bundled_name_means_cannot_be_changed(install, caplog):
    install(POLICIES, random=f"{__name__}:Targeted")
    assert isinstance(make_policy("random"), RandomPolicy)
    [warning] = caplog.records
    assert (
        "policy 'random' of the package plugin-of-a-test; valueagents has one, too"
        in warning.getMessage()
    )


def test_a_plug_in_must_be_of_the_class_that_its_group_wants(install):
    install(POLICY_FAMILIES, odd=f"{__name__}:NotAPolicy")
    with pytest.raises(
        ConfigError,
        match=r"policy family 'odd' .* is not a subclass of .*contracts\.plugins\.PolicyF",
    ):
        load(POLICY_FAMILIES, "odd", PolicyFamily)


def test_a_family_brings_policies_under_names_of_its_own(install, caplog):
    install(POLICY_FAMILIES, numbers=f"{__name__}:Numbers", broken=f"{__name__}:BrokenFamily")
    assert {"one", "two", "random"} <= set(names(POLICIES))
    assert "numbers" not in names(POLICIES)
    assert make_policy("one:x?size=3").target == "one x {'size': '3'}"
    with pytest.raises(ConfigError, match="policy 'one' needs a target: one:TARGET"):
        make_policy("one")
    assert isinstance(make_policy("random"), RandomPolicy)  # a name of ours stays ours
    with pytest.raises(ConfigError, match="number 'two' cannot be imported"):
        make_policy("two:x")
    assert {doc.name for doc in listing(POLICIES)} >= {"one", "known"}
    told = {record.getMessage() for record in caplog.records}
    assert told == {
        "left out: policy family 'broken': RuntimeError: out of order",
        "left out: number 'two' cannot be imported",
    }


def test_a_listing_says_what_each_is_what_its_target_is_and_every_option(install):
    install(POLICIES, targeted=f"{__name__}:Targeted")
    install(POLICY_FAMILIES, numbers=f"{__name__}:Numbers")
    docs = {doc.name: doc for doc in listing(POLICIES)}
    assert list(docs) == sorted(docs)
    targeted = docs["targeted"]
    assert (targeted.summary, targeted.target) == ("First, but with a target.", "kept as it is.")
    assert (
        targeted.options == describe(Targeted) == [OptionDoc("seed", "integer", "0", "not used.")]
    )
    assert (docs["one"].summary, docs["one"].target) == ("A numbered policy.", "anything")
    assert docs["one"].options == describe(Numbered("one"))
    assert docs["random"].target is None


@pytest.mark.parametrize("group", [ENVS, POLICIES])
def test_every_option_of_what_is_bundled_is_explained(group):
    for doc in listing(group):
        assert doc.summary
        assert doc.target != ""
        for option in doc.options:
            assert option.does, f"{doc.name}: {option.name}"


def test_a_broken_command_is_left_out_and_the_others_stay(install, module, caplog):
    where = module("broken_command_of_a_test", "raise ValueError('no such luck')")
    install(COMMANDS, broken=f"{where}:main")
    assert {"serve", "study", "train"} <= set(commands())
    assert "broken" not in commands()
    assert "command 'broken'" in caplog.text
    assert "no such luck" in caplog.text


def test_looking_for_commands_imports_neither_gymnasium_nor_torch():
    code = "import sys; from valueagents.contracts.plugins import commands; commands(); "
    code += (
        "print([name for name in ('gymnasium', 'torch', 'transformers') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
