"""Item envs: one menu an episode, its options in an order drawn from the seed with their annotation
beside them.
"""

from collections import Counter

import msgspec
import pytest
from scipy import stats

from valueagents.contracts.conformance import check_value_env
from valueagents.contracts.decision import Option
from valueagents.envs.items.env import ItemEnv
from valueagents.errors import ConfigError, DataError
from valueagents.files.factors import Factor
from valueagents.files.items import Item, ItemBank, ItemOption
from valueagents.identity import content_hash
from valueagents.taxonomy import load_taxonomy


def option(name: str, text: str, **values: float | None) -> ItemOption:
    return ItemOption(id=name, text=text, values=values)


ITEMS = (
    Item(
        id="one",
        text="Zoë asks:\n“Now?” 🦊",
        options=(option("a", "Yes.", duty=1.0), option("b", "No.")),
    ),
    Item(
        id="two",
        text="And now?",
        options=(
            option("a", "Go.", death=-1.0),
            option("b", "Stay.", pain=None),
            option("c", "Ask.", duty=0.5),
        ),
        setting="home",
        cluster="template",
    ),
)


def bank(items: tuple[Item, ...] = ITEMS, **fields) -> ItemBank:
    return ItemBank(
        taxonomy=load_taxonomy("gert10"),
        task="Choose.",
        provenance="by hand",
        scaling="sign",
        items=items,
        **fields,
    )


def test_an_item_env_keeps_every_promise():
    assert [check for check in check_value_env(lambda: ItemEnv(bank())) if check.problem] == []


def test_an_item_is_shown_with_its_options_and_their_values_in_the_same_order():
    values = {option.id: option.values for option in ITEMS[1].options}
    texts = {option.id: option.text for option in ITEMS[1].options}
    env = ItemEnv(bank())
    for seed in range(10):
        text, info = env.reset(seed=seed, options={"situation": "two"})
        assert text == "And now?"
        assert {option.id: option.text for option in info["menu"]} == texts
        assert info["annotation"].values == tuple(values[option.id] for option in info["menu"])
    assert (info["annotation"].taxonomy, info["annotation"].provenance) == ("gert10/1", "by hand")


def test_an_items_menu_says_which_item_it_is():
    env = ItemEnv(bank())
    assert [factor.name for factor in env.factors] == ["item"]
    assert [env.reset(options={"situation": name})[1]["factors"] for name in ("one", "two")] == [
        {"item": "one"},
        {"item": "two"},
    ]


def test_a_banks_own_factors_follow_the_item_and_an_item_may_have_none_of_them():
    place = Factor(name="place", meaning="Where it happens.", levels=("home", "street"))
    items = (msgspec.structs.replace(ITEMS[0], factors={"place": "home"}), ITEMS[1])
    env = ItemEnv(bank(items, factors=(place,)))
    assert env.factors == (*ItemEnv.factors, place)
    assert env.reset(options={"situation": "one"})[1]["factors"] == {"item": "one", "place": "home"}
    assert env.reset(options={"situation": "two"})[1]["factors"] == {"item": "two"}
    assert [
        check
        for check in check_value_env(lambda: ItemEnv(bank(items, factors=(place,))))
        if check.problem
    ] == []
    assert ItemEnv(bank()).factors == ItemEnv.factors  # of another bank


def test_every_order_of_the_options_is_drawn_equally_often():
    env = ItemEnv(bank())
    orders = Counter(
        "".join(
            option.id for option in env.reset(seed=seed, options={"situation": "two"})[1]["menu"]
        )
        for seed in range(1200)
    )
    assert len(orders) == 6
    assert stats.chisquare(list(orders.values())).pvalue > 1e-4


def test_the_order_depends_on_the_seed_alone():
    def order(env: ItemEnv, seed: int) -> tuple[Option, ...]:
        return env.reset(seed=seed, options={"situation": "two"})[1]["menu"]

    used = ItemEnv(bank())
    used.reset(seed=1)
    assert all(order(used, seed) == order(ItemEnv(bank()), seed) for seed in range(10))


@pytest.mark.parametrize("action", [0, 1])
def test_any_choice_ends_the_episode_without_reward(action):
    env = ItemEnv(bank())
    env.reset(seed=1, options={"situation": "one"})
    text, reward, terminated, truncated, info = env.step(action)
    assert (text, reward, terminated, truncated, info["menu"], info["invalid"]) == (
        "",
        0.0,
        True,
        False,
        (),
        None,
    )


def test_an_item_is_its_own_cluster_unless_it_names_one():
    env = ItemEnv(bank())
    infos = [env.reset(seed=1, options={"situation": name})[1] for name in ("one", "two")]
    assert [(info["situation"], info["cluster"]) for info in infos] == [
        ("one", "one"),
        ("two", "template"),
    ]


def test_the_menu_is_as_wide_as_the_longest_item():
    assert ItemEnv(bank()).max_menu == 3
    assert ItemEnv(bank(ITEMS[:1])).max_menu == 2


def test_an_empty_bank_is_refused():
    with pytest.raises(
        DataError, match="the item bank is empty; give a file with at least one item"
    ):
        ItemEnv(bank(()))


def test_situations_are_the_items_in_file_order_and_an_unknown_one_is_refused():
    env = ItemEnv(bank())
    assert list(env.situations()) == ["one", "two"]
    with pytest.raises(ConfigError, match=r"unknown situation 'too'\. Did you mean 'two'"):
        env.reset(options={"situation": "too"})


def test_the_content_is_the_whole_bank():
    def changed(**fields) -> str:
        item = msgspec.structs.replace(ITEMS[0], **fields)
        return content_hash(ItemEnv(bank((item, ITEMS[1]))).content())

    same = content_hash(ItemEnv(bank()).content())
    assert changed() == same
    option = ITEMS[0].options[0]
    others = [
        changed(text="Now!"),
        changed(factors={"place": "home"}),
        changed(cluster="x"),
        changed(
            options=(msgspec.structs.replace(option, values={"duty": None}), ITEMS[0].options[1])
        ),
        changed(options=ITEMS[0].options[::-1]),
        content_hash(ItemEnv(bank(ITEMS[:1])).content()),
    ]
    assert len({same, *others}) == 7


def test_neither_notes_nor_fields_of_the_taxonomy_that_are_for_reports_are_part_of_the_content():
    plain = ItemEnv(bank()).content()
    assert ItemEnv(bank(notes=("odd",))).content() == plain
    assert all("factors" not in item for item in plain["items"])
    grouped = msgspec.structs.replace(
        load_taxonomy("gert10"),
        groupings={"all": {"rules": ("death", "pain")}},
        main_grouping="all",
    )
    with_groups = ItemEnv(msgspec.structs.replace(bank(), taxonomy=grouped)).content()
    bare = ItemEnv(
        msgspec.structs.replace(
            bank(), taxonomy=msgspec.structs.replace(grouped, main_grouping=None)
        )
    )
    assert with_groups == bare.content() != plain


def test_a_snapshot_needs_nothing_but_the_turn():
    env, other = ItemEnv(bank()), ItemEnv(bank())
    env.reset(seed=1)
    state = env.snapshot()
    following = [env.step(0)[2], env.reset()[0], env.reset()[0], env.reset()[0]]
    other.restore(state)
    assert [other.step(0)[2], other.reset()[0], other.reset()[0], other.reset()[0]] == following
