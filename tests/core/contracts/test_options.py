"""Options: declared once, converted from text, told apart when wrong, and described from the same
declaration.
"""

import inspect
from typing import Annotated, Any, Literal

import msgspec
import pytest

from valueagents.contracts.options import (
    REQUIRED,
    NoOptions,
    OptionDoc,
    argument_texts,
    build,
    declared,
    make_options,
    option_docs,
    type_text,
)
from valueagents.errors import ConfigError


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


def needs(*, model: str, seed: int = 0) -> str:
    return f"{model} {seed}"


class Plain:
    """Has no constructor."""


class Drawing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How something is drawn.

    Args:
        heat: how wildly,
            from none at all: 0 is none.
        width, height: in pixels; one line for two.
        undocumented
    Not part of it: heat.
    """

    heat: Annotated[float, msgspec.Meta(ge=0, lt=2)] = 1.0
    width: Annotated[int, msgspec.Meta(ge=1)]
    height: Annotated[int, msgspec.Meta(ge=1)] | None = None


class Painting(Drawing, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The same with colours.

    Args:
        heat: how wildly, in colour.
        colours: which ones.
    """

    colours: list[str] = []
    style: Literal["oil", "water"] = "oil"
    framed: bool = False
    title: str = ""


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
    "given",
    [
        {"count": "1.5"},
        {"count": ""},
        {"count": "many"},
        {"ratio": "x"},
        {"deep": "perhaps"},
        {"name": 3},
    ],
)
def test_an_option_of_the_wrong_type_is_named_with_its_value(given):
    (option, value), *_ = given.items()
    with pytest.raises(ConfigError, match=rf"option {option}={value} of thing: "):
        build(maker, "thing", given)


def test_an_unknown_option_is_answered_with_the_nearest_and_all_known():
    with pytest.raises(
        ConfigError,
        match=r"unknown option of thing 'cuont'\. Did you mean 'count'\? Known: anything, c",
    ):
        build(maker, "thing", {"cuont": 1})


def test_positional_parameters_and_render_mode_are_not_options():
    assert [each.name for each in declared(maker)] == [
        "count",
        "ratio",
        "deep",
        "name",
        "sizes",
        "anything",
    ]
    with pytest.raises(ConfigError, match="unknown option of thing 'render_mode'"):
        build(maker, "thing", {"render_mode": "ansi"})
    with pytest.raises(ConfigError, match="unknown option of thing 'target'"):
        build(maker, "thing", {"target": "x"})


def test_a_missing_option_without_default_is_asked_for():
    with pytest.raises(ConfigError, match="thing needs the option model"):
        build(needs, "thing", {"seed": 1})
    with pytest.raises(ConfigError, match="drawing needs the option width"):
        make_options(Drawing, "drawing", {})


def test_a_class_without_a_constructor_takes_no_option():
    assert isinstance(build(Plain, "plain", {}), Plain)
    with pytest.raises(ConfigError, match=r"unknown option of plain 'seed'\. Known: none"):
        build(Plain, "plain", {"seed": "1"})
    assert declared(NoOptions) == ()


def test_a_struct_declares_options_as_a_signature_does():
    made = make_options(
        Painting, "painting", {"width": "3", "heat": "1.5", "style": "water", "framed": "true"}
    )
    assert made == Painting(width=3, heat=1.5, style="water", framed=True)
    defaults = {each.name: each.default for each in declared(Painting)}
    assert defaults["width"] is REQUIRED is inspect.Parameter.empty
    assert (defaults["heat"], defaults["height"], defaults["colours"]) == (1.0, None, [])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"width": "0"}, r"option width=0 of painting: .*>= 1"),
        ({"width": 1, "heat": 2}, r"option heat=2(\.0)? of painting: .*< 2"),
        ({"width": 1, "height": "-1"}, r"option height=-1 of painting: .*>= 1"),
        (
            {"width": 1, "style": "oils"},
            r"option style=oils of painting: unknown value 'oils'\. Did you mean 'oil'\?",
        ),
        ({"width": 1, "wdth": 1}, r"unknown option of painting 'wdth'\. Did you mean 'width'\?"),
    ],
)
def test_bounds_and_choices_of_a_struct_are_kept(given: dict[str, Any], message: str):
    with pytest.raises(ConfigError, match=message):
        make_options(Painting, "painting", given)


def test_every_option_is_described_by_type_default_and_docstring():
    assert option_docs(Painting) == [
        OptionDoc("heat", "number ≥ 0, < 2", "1", "how wildly, in colour."),
        OptionDoc("width", "integer ≥ 1", "required", "in pixels; one line for two. undocumented"),
        OptionDoc("height", "integer ≥ 1", "none", "in pixels; one line for two. undocumented"),
        OptionDoc("colours", "list[str]", "[]", "which ones."),
        OptionDoc("style", "oil | water", "oil", ""),
        OptionDoc("framed", "true | false", "false", ""),
        OptionDoc("title", "text", '""', ""),
    ]


def test_the_text_of_an_argument_goes_on_over_lines_and_ends_with_the_section():
    texts = argument_texts(Drawing)
    assert texts["heat"] == "how wildly, from none at all: 0 is none."
    assert texts["width"] == texts["height"]
    assert set(texts) == {"heat", "width", "height"}


def test_a_docstring_without_arguments_describes_none_of_them():
    assert argument_texts(maker) == {}
    assert [each.does for each in option_docs(maker)] == [""] * 6


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (str | None, "text"),
        (int | str, "integer | text"),
        (dict[str, int], "dict[str, int]"),
        (Any, "any"),
    ],
)
def test_a_type_is_put_in_words(kind: Any, text: str):
    assert type_text(kind) == text
