"""Entry points: names, options converted from text, and errors that say what is near."""

import pytest

from valueagents.contracts.environment import ValueEnv
from valueagents.contracts.plugins import ENVS, POLICIES, build, load, make_env, make_policy, names, option_names
from valueagents.errors import ConfigError
from valueagents.policies.scripted import FirstPolicy, KnownPolicy, RandomPolicy

DILEMMA = "valueagents/Dilemma-v0"


def maker(
    target: str = "",
    *,
    count: int = 1,
    ratio: float = 0.5,
    deep: bool = False,
    name: str | None = None,
    sizes: list[int] | None = None,
    anything=None,
    render_mode: str | None = None,
) -> dict[str, object]:
    return {
        "target": target,
        "count": count,
        "ratio": ratio,
        "deep": deep,
        "name": name,
        "sizes": sizes,
        "any": anything,
    }


class NotAPolicy:
    """Found under a policy's name."""


def needs(*, model: str, seed: int = 0) -> FirstPolicy:
    return FirstPolicy()


def optional_target(target: str) -> FirstPolicy:
    policy = FirstPolicy()
    policy.target = target
    return policy


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Install entry points as a third party's package would."""

    def write(group: str, **points: str) -> None:
        dist = tmp_path / "plugin_of_a_test-0.dist-info"
        dist.mkdir()
        (dist / "METADATA").write_text("Metadata-Version: 2.1\nName: plugin-of-a-test\nVersion: 0\n")
        lines = [f"{name} = {value}" for name, value in points.items()]
        (dist / "entry_points.txt").write_text("\n".join([f"[{group}]", *lines, ""]))
        monkeypatch.syspath_prepend(tmp_path)

    return write


@pytest.mark.parametrize(
    ("given", "converted"),
    [
        ({"count": "12"}, 12),
        ({"count": 12}, 12),
        ({"count": "-3"}, -3),
        ({"ratio": "1e-3"}, 0.001),
        ({"ratio": "2"}, 2.0),
        ({"deep": "true"}, True),
        ({"deep": "1"}, True),
        ({"deep": "false"}, False),
        ({"name": "Zoë 🦊"}, "Zoë 🦊"),
        ({"name": ""}, ""),
        ({"name": None}, None),
        ({"name": "12"}, "12"),
        ({"sizes": [1, "2"]}, [1, 2]),
        ({"anything": "as it is"}, "as it is"),
    ],
)
def test_options_are_converted_from_text_to_the_type_of_the_parameter(given, converted):
    made = build(maker, "thing", given)
    value = made["any" if "anything" in given else next(iter(given))]
    assert value == converted
    assert type(value) is type(converted)


@pytest.mark.parametrize(
    "given", [{"count": "1.5"}, {"count": ""}, {"count": "many"}, {"ratio": "x"}, {"deep": "perhaps"}, {"name": 3}]
)
def test_an_option_of_the_wrong_type_is_named_with_its_value(given):
    (option, value), *_ = given.items()
    with pytest.raises(ConfigError, match=rf"option {option}={value} of thing: "):
        build(maker, "thing", given)


def test_an_unknown_option_is_answered_with_the_nearest_and_all_known():
    with pytest.raises(
        ConfigError, match=r"unknown option of thing 'cuont'\. Did you mean 'count'\? Known: anything, c"
    ):
        build(maker, "thing", {"cuont": 1})


def test_positional_parameters_and_render_mode_are_no_options():
    assert list(option_names(maker)) == ["count", "ratio", "deep", "name", "sizes", "anything"]
    with pytest.raises(ConfigError, match="unknown option of thing 'render_mode'"):
        build(maker, "thing", {"render_mode": "ansi"})
    with pytest.raises(ConfigError, match="unknown option of thing 'target'"):
        build(maker, "thing", {"target": "x"})


def test_a_missing_option_without_default_is_asked_for():
    with pytest.raises(ConfigError, match="thing needs the option model"):
        build(needs, "thing", {"seed": 1})


def test_a_class_without_a_constructor_takes_no_option():
    assert isinstance(build(FirstPolicy, "first", {}), FirstPolicy)
    with pytest.raises(ConfigError, match=r"unknown option of first 'seed'\. Known: none"):
        build(FirstPolicy, "first", {"seed": "1"})


def test_our_own_names_are_found_sorted():
    assert {"first", "known", "random"} <= set(names(POLICIES))
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
    install(POLICIES, echo=f"{__name__}:optional_target")
    assert make_policy("echo:http://127.0.0.1:8000/v1=x").target == "http://127.0.0.1:8000/v1=x"


@pytest.mark.parametrize(
    ("env_id", "options", "words"),
    [
        ("Dilemma-v0", {}, r"unknown env 'Dilemma-v0'\. Did you mean 'valueagents/Dilemma-v0'\?"),
        (DILEMMA, {"stting": "home"}, r"unknown option of valueagents/Dilemma-v0 'stting'\. Did you mean 'setting'"),
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


@pytest.mark.parametrize("value", ["no_such_module_of_a_test:Policy", "valueagents.policies.scripted:Nothing"])
def test_an_entry_point_that_cannot_be_imported_says_which_and_why(install, value):
    install(POLICIES, broken=value)
    with pytest.raises(ConfigError, match=rf"policy 'broken' \({value}\) cannot be imported: .*(no_such|Nothing)"):
        load(POLICIES, "broken")
    assert isinstance(make_policy("random"), RandomPolicy)


def test_what_is_made_must_be_an_env_or_a_policy(install):
    install(POLICIES, thing=f"{__name__}:NotAPolicy")
    with pytest.raises(ConfigError, match=r"policy 'thing' made a NotAPolicy, not a Policy; subclass valueagents\.Pol"):
        make_policy("thing")


def test_an_env_that_is_none_is_refused(install):
    install(ENVS, **{"other/Thing-v0": f"{__name__}:NotAPolicy"})
    with pytest.raises(ConfigError, match=r"env 'other/Thing-v0' is a NotAPolicy, not a ValueEnv; subclass"):
        make_env("other/Thing-v0")
