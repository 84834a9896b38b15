"""Taxonomies: the bundled axes, their circle and groupings, and how a malformed one is refused."""

import msgspec
import pytest

from valueagents.errors import ConfigError, DataError
from valueagents.taxonomy import Axis, Taxonomy, load_taxonomy, taxonomy_ids

OPEN_AND_ENHANCING = ["SDT", "SDA", "STI", "HED", "ACH", "POD", "POR", "FAC"]
CONSERVING = ["SEP", "SES", "TRA", "COR", "COI", "HUM"]
TOUCHE_ORDER = [*OPEN_AND_ENHANCING, *CONSERVING, "BEC", "BED", "UNC", "UNN", "UNT", "UNO"]
AXES = {
    "competence": 1,
    "schwartz20": 20,
    "schwartz10": 10,
    "gert10": 10,
    "machiavelli": 18,
    "mft5": 5,
    "jiminy": 4,
    "stereotype": 4,
}


def tiny(*ids: str, **fields) -> Taxonomy:
    return Taxonomy(
        "tiny", 1, "made up", tuple(Axis(i, i.title(), "something") for i in ids), **fields
    )


def test_the_taxonomies_are_bundled_with_all_their_axes():
    assert {name: len(load_taxonomy(name).axes) for name in taxonomy_ids()} == AXES
    assert list(taxonomy_ids()) == sorted(AXES)


@pytest.mark.parametrize("name", sorted(AXES))
def test_every_bundled_axis_says_what_it_wants_and_every_taxonomy_its_source(name):
    taxonomy = load_taxonomy(name)
    assert taxonomy.id == name
    assert taxonomy.name == f"{name}/{taxonomy.version}"
    assert taxonomy.source
    assert all(axis.name and axis.wants for axis in taxonomy.axes)
    assert len(set(taxonomy.axis_ids)) == len(taxonomy.axes)


def test_schwartz20_stands_in_the_label_order_of_touche():
    assert list(load_taxonomy("schwartz20").axis_ids) == TOUCHE_ORDER


def test_schwartz20_carries_the_54_facets_each_once():
    facets = [facet for axis in load_taxonomy("schwartz20").axes for facet in axis.facets]
    assert len(facets) == len(set(facets)) == 54


def test_angles_are_even_over_the_axes_that_lie_on_the_circle():
    angles = load_taxonomy("schwartz20").angles
    assert "UNO" not in angles
    assert angles == {axis: pytest.approx(360 * i / 19) for i, axis in enumerate(TOUCHE_ORDER[:-1])}


def test_the_ten_basic_values_are_the_groups_of_the_twenty_in_schwartzs_order():
    ten = load_taxonomy("schwartz10")
    assert {axis.name for axis in ten.axes} == set(
        load_taxonomy("schwartz20").groupings["schwartz10"]
    )
    assert ten.axis_ids == ("SD", "ST", "HE", "AC", "PO", "SE", "CO", "TR", "BE", "UN")
    assert ten.angles["UN"] == pytest.approx(324)


def test_a_taxonomy_without_a_circle_has_no_angles():
    assert load_taxonomy("gert10").angles is None
    assert tiny("a", "b").angles is None


def test_one_axis_alone_stands_at_angle_zero_and_none_gives_no_angle():
    assert tiny("a", circular=True).angles == {"a": 0.0}
    assert tiny(circular=True).angles == {}


def test_the_three_published_mappings_of_face_and_hedonism_differ():
    groupings = load_taxonomy("schwartz20").groupings

    def homes(grouping: str, axis: str) -> list[str]:
        return sorted(group for group, members in groupings[grouping].items() if axis in members)

    assert homes("schwartz10", "FAC") == []
    assert homes("survey-to-behavior", "FAC") == ["Power"]
    assert homes("kiesel4", "FAC") == ["Conservation", "Self-enhancement"]
    assert homes("kiesel4", "HED") == ["Openness to change", "Self-enhancement"]
    assert homes("survey-to-behavior", "UNO") == ["Universalism"]
    assert homes("higher-order", "HUM") == []


def test_index_is_the_column_of_an_axis():
    assert [load_taxonomy("schwartz20").index(axis) for axis in TOUCHE_ORDER] == list(range(20))


@pytest.mark.parametrize(("wrong", "right"), [("HEDO", "HED"), ("bec", "BEC")])
def test_an_unknown_axis_is_answered_with_the_nearest(wrong, right):
    with pytest.raises(
        ConfigError, match=rf"unknown axis of schwartz20 '{wrong}'\. Did you mean '{right}'\?"
    ):
        load_taxonomy("schwartz20").index(wrong)


def test_an_unknown_taxonomy_is_answered_with_the_nearest_and_all_known():
    with pytest.raises(
        ConfigError,
        match=r"unknown taxonomy 'schwartz'\. Did you mean 'schwartz\d0'\?.*gert10, jiminy",
    ):
        load_taxonomy("schwartz")


@pytest.mark.parametrize("name", ["", "../pyproject", "schwartz20.toml"])
def test_a_taxonomy_is_a_name_and_never_a_path(name):
    with pytest.raises(ConfigError, match="unknown taxonomy"):
        load_taxonomy(name)


def test_a_taxonomy_that_names_an_axis_twice_is_refused():
    with pytest.raises(DataError, match="'tiny' names an axis twice"):
        tiny("a", "b", "a")


def test_a_grouping_of_an_axis_that_does_not_exist_is_refused_by_name():
    with pytest.raises(
        DataError, match=r"grouping 'ends': unknown axis 'betta'\. Did you mean 'beta'"
    ):
        tiny("alpha", "beta", groupings={"ends": {"low": ("alpha",), "high": ("betta",)}})


def test_a_taxonomy_is_frozen_and_survives_json():
    taxonomy = load_taxonomy("schwartz20")
    assert msgspec.json.decode(msgspec.json.encode(taxonomy), type=Taxonomy) == taxonomy
    with pytest.raises(AttributeError):
        taxonomy.version = 2
