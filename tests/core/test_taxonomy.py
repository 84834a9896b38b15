"""Taxonomies: the bundled axes, their circle and groupings, a user's own in a file, and how a
malformed one is refused.
"""

import os
from pathlib import Path

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
def test_what_is_neither_an_id_nor_a_file_that_is_there_is_refused(name):
    with pytest.raises(ConfigError, match="unknown taxonomy"):
        load_taxonomy(name)


NEEDS = """
id = "needs3"
version = 2
source = "made up"
main_grouping = "kinds"
oppositions = [["Self", "Others"]]
off_circle = ["FUN"]

[[axes]]
id = "AUT"
name = "Autonomy"
wants = "decide for oneself"
angle = 0

[[axes]]
id = "REL"
name = "Closeness"
wants = "be close to others"
angle = 200.5

[[axes]]
id = "FUN"
name = "Play"
wants = "have fun"

[groupings.kinds]
Self = ["AUT"]
Others = ["REL"]
"""


def written(folder: Path, text: str = NEEDS, name: str = "needs.toml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_taxonomy_in_a_file_is_one_like_any_other(tmp_path):
    own = load_taxonomy(str(written(tmp_path)))
    assert (own.name, own.axis_ids) == ("needs3/2", ("AUT", "REL", "FUN"))
    assert own.angles == {"AUT": 0.0, "REL": 200.5}
    assert own.main_groups == {"Self": ("AUT",), "Others": ("REL",)}
    assert own is load_taxonomy("needs.toml", tmp_path)
    assert own is load_taxonomy(tmp_path / "needs.toml")


def test_the_path_of_a_taxonomy_is_relative_to_the_file_that_names_it(tmp_path, monkeypatch):
    written(tmp_path)
    with pytest.raises(ConfigError, match=r"unknown taxonomy file 'need.toml'\..* Give the path"):
        load_taxonomy("need.toml")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"'need.toml'\. Did you mean 'needs.toml'"):
        load_taxonomy("need.toml")
    assert load_taxonomy("needs.toml").id == "needs3"


def test_a_changed_file_is_another_identity_under_the_same_name(tmp_path):
    path = written(tmp_path)
    before = load_taxonomy(str(path))
    written(tmp_path, NEEDS.replace("200.5", "180"))
    os.utime(path, ns=(1, 1))
    after = load_taxonomy(str(path))
    assert before.name == after.name
    assert before.identity != after.identity
    assert before.identity.startswith("needs3/2-")
    assert load_taxonomy("gert10").identity == "gert10/1"


def test_angles_that_no_axis_has_leave_the_content_of_older_taxonomies_as_it_was():
    assert "angle" not in load_taxonomy("mft5").content["axes"][0]
    assert tiny("a").content != tiny("b").content


AXIS = """
[[axes]]
id = "{0}"
name = "{1}"
wants = "{2}"
"""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (NEEDS + AXIS.format("REL", "Again", "x"), r"names an axis twice \('REL'\)"),
        (NEEDS + AXIS.format("NEW", "New", "x"), "angles to some of its axes and none to NEW"),
        (NEEDS + AXIS.format("NEW", "Play", "x"), "angles to some"),
        (NEEDS.replace("angle = 0\n", "").replace("angle = 200.5", ""), None),
        (NEEDS.replace("angle = 0\n", ""), "none to AUT; give every axis one"),
        (NEEDS.replace("angle = 0\n", "angle = 360\n"), "'AUT' has angle 360.*under 360"),
        (NEEDS.replace("angle = 0\n", "angle = nan\n"), "'AUT' has angle nan"),
        (NEEDS.replace("version = 2", "version = 2\ncircular = true"), "is circular.*angles too"),
        (NEEDS.replace("angle = 200.5", "angle = 0"), "puts all axes at angle 0"),
        (NEEDS.replace('["FUN"]', '["FUN", "AUT"]'), "'AUT' is off_circle and has an angle"),
        (NEEDS.replace('["FUN"]', '["FUM"]'), r"off_circle: unknown axis 'FUM'\. .*'FUN'"),
        (NEEDS.replace('["REL"]', '["RELL"]'), r"grouping 'kinds': unknown axis 'RELL'.*'REL'"),
        (NEEDS.replace('["REL"]', '["REL", "REL"]'), "group 'Others' names 'REL' twice"),
        (NEEDS.replace('["REL"]', "[]"), "group 'Others' has no axis"),
        (NEEDS.replace('main_grouping = "kinds"', 'main_grouping = "kin"'), "grouping 'kin'"),
        (NEEDS.replace('main_grouping = "kinds"', ""), "group 'Self'.*main_grouping that has it"),
        (NEEDS.replace('"Others"]]', '"Other"]]'), r"unknown group 'Other'.*'Others'"),
        (NEEDS.replace("needs3", "gert10"), "'gert10' is that of a bundled taxonomy"),
        (NEEDS.replace("needs3", "my needs"), "id 'my needs': letters"),
        (NEEDS.replace('"AUT"', '"A=1"'), "axis id 'A=1': letters"),
        (NEEDS.replace('"Autonomy"', '" "'), "axis 'AUT' has an empty name"),
        (NEEDS.replace('"Autonomy"', '"Play"'), "two axes are named 'Play'"),
        (NEEDS.replace("version = 2", "version = 0"), "version 0; count versions from 1"),
        (NEEDS.replace('source = "made up"', ""), "missing required field `source`"),
        (NEEDS.replace("wants = ", "wishes = "), "unknown field `wishes`"),
        ('id = "x"\nversion = 1\nsource = "y"\naxes = []\n', "it has no axes"),
        ("id = needs3", "is not TOML"),
        ("a = " + "[" * 5000, "is not TOML"),
    ],
)
def test_a_malformed_file_is_refused_with_its_name_and_what_to_do(tmp_path, text, said):
    path = written(tmp_path, text)
    if said is None:
        assert load_taxonomy(str(path)).angles is None
        return
    with pytest.raises(DataError, match=rf"^taxonomy file needs\.toml.*{said}"):
        load_taxonomy(str(path))


def test_a_file_that_is_not_utf_8_is_refused(tmp_path):
    path = tmp_path / "needs.toml"
    path.write_bytes(NEEDS.replace("made up", "é").encode("latin-1"))
    with pytest.raises(DataError, match=r"needs\.toml is not UTF-8 text"):
        load_taxonomy(str(path))


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
