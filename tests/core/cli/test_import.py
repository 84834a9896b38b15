"""`valueagents import`: a table of the user's, by a map of its columns, as a bank that an env plays."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from valueagents.envs.importing.tables import UserTable
from valueagents.envs.items.dilemma import DilemmaEnv
from valueagents.envs.items.judgement import JudgementEnv
from valueagents.envs.survey.env import SurveyEnv
from valueagents.errors import ConfigError, DataError
from valueagents.files.items import read_item_file
from valueagents.files.left_out import LeftOut

Cli = Callable[..., Any]
DILEMMAS = """qid,prompt,yes,no,yes_cheat,no_cheat,yes_duty,no_duty
q1,"A test lies open.
You could look.",Look.,Close it.,Yes,No,-1,1
q2,A friend asks.,Tell.,Keep it.,No,No,,1
q3,Too long,Tell.,Keep it.,No,No,0,1,extra
q4,,Tell.,Keep it.,No,No,0,1
q5,A till is open.,Take it.,Take it.,Yes,No,0,1
q1,Again.,Look.,Close it.,Yes,No,0,1
q7,A form.,Sign.,Leave.,Maybe,No,0,1
q8,A form.,Sign.,Leave.,Yes,No,3,1

q9,A door.,Open.,Leave.,Yes,No Agreement,0,0.5
"""
MAP = """
taxonomy = "gert10"
provenance = "rated by three people"
scaling = "breaks the rule -1, keeps it +1"

[columns]
id = "qid"
text = "prompt"
option.yes.text = "yes"
option.no.text = "no"
option.yes.cheat = "yes_cheat"
option.no.cheat = "no_cheat"
option.yes.duty = "yes_duty"
option.no.duty = "no_duty"

[constants]
setting = "school"

[numbers]
"Yes" = -1
"No" = 0
"No Agreement" = "not annotated"
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("moral.csv").write_text(DILEMMAS, encoding="utf-8")
    Path("map.toml").write_text(MAP, encoding="utf-8")
    Path("empty.toml").write_text("", encoding="utf-8")
    return tmp_path


def test_a_table_of_dilemmas_becomes_a_bank_that_is_played(valueagents: Cli, here: Path) -> None:
    done = valueagents("import", "dilemmas", "moral.csv", "--map", "map.toml", "--out", "b.jsonl")
    assert done.returncode == 0, done.stderr
    assert "3 records of 9 rows; 6 rows are left out" in done.stdout
    bank = read_item_file(Path("b.jsonl"))
    assert [item.id for item in bank.items] == ["q1", "q2", "q9"]
    first, second, last = bank.items
    assert first.text == "A test lies open.\nYou could look."
    assert first.setting == "school"
    assert first.options[0].values["cheat"] == -1
    assert first.options[0].values["duty"] == -1
    assert first.options[0].values["death"] is None  # no column says anything of it
    assert second.options[0].values["duty"] is None  # an empty cell
    assert last.options[1].values["cheat"] is None
    assert last.options[1].values["duty"] == 0.5
    assert bank.provenance.startswith("rated by three people; imported from moral.csv, sha256 ")
    assert "3 records of 9 rows" in bank.provenance
    assert "text = prompt" in bank.provenance
    env = DilemmaEnv(data="b.jsonl")
    assert env.situations() == ("q1", "q2", "q9")


LEFT_OUT = {
    "8 columns are wanted, this row has more or fewer": ["line 5"],
    "text is empty": ["line 6"],
    "item 'q5' has 2 options with the text 'Take it.'": ["line 7"],
    "id 'q1' is there already, in line 2": ["line 8"],
    "option.yes.cheat: 'Maybe' is not a number; say what it means under [numbers]": ["line 9"],
    "option.yes.duty: 3 is not in [-1, 1]; give the largest number as `divide` in the map": [
        "line 10"
    ],
}


def test_what_is_left_out_is_named_with_its_line_and_counted(valueagents: Cli, here: Path) -> None:
    done = valueagents("import", "dilemmas", "moral.csv", "--map", "map.toml")
    for reason, places in LEFT_OUT.items():
        assert f"  {', '.join(places)}: {reason}\n" in done.stdout
    done = valueagents("import", "dilemmas", "moral.csv", "--map", "map.toml", "--json")
    found = json.loads(done.stdout)["result"]
    assert found["left_out"] == LEFT_OUT
    assert (found["rows"], len(found["records"])) == (9, 3)


def test_a_preview_shows_what_was_found_and_writes_nothing(valueagents: Cli, here: Path) -> None:
    before = sorted(here.iterdir())
    done = valueagents("import", "dilemmas", "moral.csv")
    assert done.returncode == 0
    assert "moral.csv: 8 rows that can be read" in done.stdout
    [prompt] = [line.split()[:3] for line in done.stdout.splitlines() if "prompt" in line][:1]
    assert prompt == ["prompt", "7", "6"]  # one row is no row, one cell is empty, one text repeated
    assert "nothing is mapped; fields of dilemmas: text, id, setting" in done.stdout
    done = valueagents("import", "dilemmas", "moral.csv", "--map", "map.toml")
    assert 'the first record: {"id":"q1","text":"A test lies open.' in done.stdout
    assert "not annotated, since no column tells of them: death" in done.stdout
    assert "2 values are not annotated: their cells are empty or say so" in done.stdout
    assert "nothing is written: give --out BANK.jsonl" in done.stdout
    assert sorted(here.iterdir()) == before


def test_columns_are_named_on_the_command_line_too(valueagents: Cli, here: Path) -> None:
    Path("j.csv").write_text(
        "post;stake;proud;easy\nI left early.;COI;YTA;NTA\nI stayed.;XX;YTA;NTA\n"
        "I sang.;COI;ESH;NTA\nI slept.;COI;NTA;NTA\n",
        encoding="utf-8",
    )
    words = ("--taxonomy", "schwartz20", "--provenance", "me", "--delimiter", ";")
    fields = {"text": "post", "value": "stake", "high": "proud", "low": "easy"}
    columns = [word for field in fields.items() for word in ("--column", "=".join(field))]
    done = valueagents("import", "judgements", "j.csv", *words, *columns, "--out", "j.jsonl")
    assert done.returncode == 0, done.stderr
    assert "line 3: unknown axis of schwartz20 'XX'" in done.stdout
    assert "line 4: Invalid enum value 'ESH'" in done.stdout
    assert "line 5: post 'row-4' has high = low = NTA" in done.stdout
    assert "ids are row-1, row-2" in done.stdout
    assert JudgementEnv(posts="j.jsonl").situations() == ("row-1",)


def test_survey_statements_come_from_parquet_with_words_for_values(
    valueagents: Cli, here: Path
) -> None:
    table = {
        "statement": ["I linger over breakfast.", "I lock the door.", None, "I sing."],
        "about": ["pleasure", "SEP", "SEP", "joy"],
        "anti": [None, "I leave it open.", None, None],
        "year": [2020, 2021, 2022, 2023],
        "raters": [["a"], ["b"], ["c"], ["d"]],
    }
    pq.write_table(pa.table(table), "s.parquet")
    Path("s.toml").write_text(
        'taxonomy = "schwartz20"\nprovenance = "me"\n[columns]\naffirms = "statement"\n'
        'opposes = "anti"\nvalue = "about"\nid = "year"\n[words]\npleasure = "HED"\n',
        encoding="utf-8",
    )
    done = valueagents("import", "survey", "s.parquet", "--map", "s.toml", "--out", "s.jsonl")
    assert done.returncode == 0, done.stderr
    assert "row 3: pair '2022' has neither affirms nor opposes" in done.stdout
    assert "row 4: unknown axis of schwartz20 'joy'" in done.stdout
    env = SurveyEnv(items="s.jsonl")
    assert env.situations() == ("2020/affirm/h01", "2021/affirm/h01", "2021/oppose/h01")
    done = valueagents("import", "survey", "s.parquet")
    assert "column raters cannot be mapped: it holds lists or records" in done.stdout
    done = valueagents("import", "survey", "s.parquet", "--map", "s.toml", "--column", "id=raters")
    assert done.returncode == 2
    assert "column 'raters' holds lists" in done.stderr


def test_where_every_option_has_a_row_rows_of_one_id_are_an_item(
    valueagents: Cli, here: Path
) -> None:
    Path("long.csv").write_text(
        "item,situation,do,serves,harms\n"
        "1,A leak.,Mend it.,\"['BED', 'COR']\",\n1,A leak.,Go on.,,SEP\n"
        "2,A song.,Sing.,HED,HED\n2,A song.,Stay quiet.,,\n"
        "3,One way.,Go.,HED,\n4,A fork.,Left.,STI,\n4,A spoon.,Right.,SEP,\n",
        encoding="utf-8",
    )
    fields = {"id": "item", "text": "situation", "option.text": "do"}
    fields |= {"option.promotes": "serves", "option.violates": "harms"}
    columns = [word for field in fields.items() for word in ("--column", "=".join(field))]
    words = ("--taxonomy", "schwartz20", "--provenance", "me", "--scaling", "listed")
    done = valueagents("import", "dilemmas", "long.csv", *words, *columns, "--out", "l.jsonl")
    assert done.returncode == 0, done.stderr
    [item] = read_item_file(Path("l.jsonl")).items
    assert [option.values for option in item.options] == [{"BED": 1, "COR": 1}, {"SEP": -1}]
    assert "line 4: option '1' both promotes and violates HED" in done.stdout
    assert "line 6: item '3' has 1 options" in done.stdout
    assert "line 7: the rows of id '4' differ in text" in done.stdout
    assert "1 records of 7 rows; 5 rows are left out" in done.stdout


def test_menus_may_differ_in_size_and_factors_come_along(valueagents: Cli, here: Path) -> None:
    Path("m.csv").write_text(
        "t,a,b,c,pa,pb,pc,place\nOne.,x,y,z,HED,SEP,,home\nTwo.,x,y,,HED,SEP,,street\n",
        encoding="utf-8",
    )
    fields = {"text": "t", "factor.place": "place"}
    for name in "abc":
        fields |= {f"option.{name}.text": name, f"option.{name}.promotes": f"p{name}"}
    columns = [word for field in fields.items() for word in ("--column", "=".join(field))]
    words = ("--taxonomy", "schwartz20", "--provenance", "me", "--scaling", "listed")
    done = valueagents("import", "dilemmas", "m.csv", *words, *columns, "--out", "m.jsonl")
    assert done.returncode == 0, done.stderr
    bank = read_item_file(Path("m.jsonl"))
    assert [len(item.options) for item in bank.items] == [3, 2]
    assert [item.factors for item in bank.items] == [{"place": "home"}, {"place": "street"}]
    assert "menus have 2 to 3 options" in done.stdout


def test_a_bank_names_a_taxonomy_of_the_users_relative_to_itself(
    valueagents: Cli, here: Path
) -> None:
    (here / "maps").mkdir()
    (here / "banks").mkdir()
    own = 'id = "own"\nversion = 1\nsource = "x"\n[[axes]]\nid = "A"\nname = "A"\nwants = "a"\n'
    Path("maps/own.toml").write_text(own, encoding="utf-8")
    Path("maps/map.toml").write_text(
        'taxonomy = "own.toml"\nprovenance = "me"\n[columns]\naffirms = "t"\nvalue = "v"\n',
        encoding="utf-8",
    )
    Path("s.csv").write_text("t,v\nI act.,A\n", encoding="utf-8")
    done = valueagents(
        "import", "survey", "s.csv", "--map", "maps/map.toml", "--out", "banks/s.jsonl"
    )
    assert done.returncode == 0, done.stderr
    assert SurveyEnv(items="banks/s.jsonl").taxonomy.id == "own"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["dilemmas", "morel.csv"], "Did you mean 'moral.csv'"),
        (["dilemmas", "map.toml"], "neither .csv, .tsv nor .parquet"),
        (["dilemmas", "moral.csv", "--map", "moral.csv"], "not .toml"),
        (["dilemmas", "moral.csv", "--column", "text"], "write FIELD=COLUMN"),
        (["dilemmas", "moral.csv", "--map", "empty.toml"], "'empty.toml' maps no column"),
        (["dilemmas", "moral.csv", "--column", "text=prompt"], "no taxonomy"),
        (["dilemmas", "moral.csv", "--map", "map.toml", "--column", "text=promt"], "'prompt'"),
        (["dilemmas", "moral.csv", "--map", "map.toml", "--column", "txt=prompt"], "'text'"),
        (
            ["dilemmas", "moral.csv", "--map", "map.toml", "--column", "option.no.cheet=yes"],
            "Did you mean 'cheat'",
        ),
        (
            ["dilemmas", "moral.csv", "--map", "map.toml", "--column", "option.no.death=yes"],
            "death is mapped for some options only",
        ),
        (
            ["dilemmas", "moral.csv", "--map", "map.toml", "--column", "option.text=yes"],
            "either a row has all options",
        ),
        (["dilemmas", "moral.csv", "--map", "map.toml", "--taxonomy", "gert"], "'gert10'"),
        (["dilemmas", "moral.csv", "--map", "map.toml", "--out", "b.json"], "a .jsonl file"),
        (["dilemmas", "moral.csv", "--map", "map.toml", "--out", "b.jsonl"], "exists"),
        (["survey", "moral.csv", "--map", "map.toml"], "unknown field 'text'"),
        (["dilemmas", "moral.csv", "--delimiter", ",,", "--column", "text=prompt"], "delimiter"),
    ],
)
def test_what_cannot_be_meant_is_one_clear_error(
    valueagents: Cli, here: Path, words: list[str], said: str
) -> None:
    Path("b.jsonl").write_text("mine", encoding="utf-8")
    done = valueagents("import", *words)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert Path("b.jsonl").read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize("lacking", ["provenance", "scaling"])
def test_a_bank_is_not_written_without_saying_who_annotated_it(
    valueagents: Cli, here: Path, lacking: str
) -> None:
    lines = [line for line in MAP.split("\n") if not line.startswith(lacking)]
    Path("map.toml").write_text("\n".join(lines), encoding="utf-8")
    done = valueagents("import", "dilemmas", "moral.csv", "--map", "map.toml")
    assert done.returncode == 0
    done = valueagents("import", "dilemmas", "moral.csv", "--map", "map.toml", "--out", "b.jsonl")
    assert done.returncode == 2
    assert f"no {lacking}" in done.stderr
    assert not Path("b.jsonl").exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "line 1: it names no columns"),
        (b"a,a,b\n1,2,3\n", "column 'a' is there twice"),
        (b"a\n\xff\n", "1 of 1 rows left out (line 2: column a is not UTF-8 text"),
        (b'a,b\n"1,2\n3,4\n', "2 of 2 rows left out"),
        (b"a\n", "holds no rows"),
    ],
)
def test_a_table_without_rows_or_names_is_refused(
    valueagents: Cli, here: Path, content: bytes, said: str
) -> None:
    Path("t.csv").write_bytes(content)
    words = ("--taxonomy", "schwartz20", "--column", "value=a", "--column", "affirms=a")
    done = valueagents("import", "survey", "t.csv", *words)
    assert done.returncode == 2
    assert said in done.stderr


def test_a_quote_that_never_ends_costs_its_row_alone_and_bad_parquet_is_told(
    valueagents: Cli, here: Path
) -> None:
    Path("t.csv").write_text('t,v\nI act.,HED\n"I rest.,HED\n', encoding="utf-8")
    words = ("--taxonomy", "schwartz20", "--column", "value=v", "--column", "affirms=t")
    done = valueagents("import", "survey", "t.csv", *words)
    assert done.returncode == 0
    assert "line 3: not a row of CSV (unexpected end of data)" in done.stdout
    Path("t.parquet").write_bytes(b"no parquet")
    done = valueagents("import", "survey", "t.parquet", *words)
    assert done.returncode == 2
    assert "t.parquet is not a Parquet file" in done.stderr


def test_no_damaged_byte_of_a_parquet_table_ends_in_more_than_a_line(here: Path) -> None:
    texts = [f"I help, {n}." for n in range(50)]
    pq.write_table(pa.table({"t": texts}), "t.parquet", write_page_checksum=True)
    whole = Path("t.parquet").read_bytes()
    said: list[str] = []
    for place in range(4, len(whole), 7):
        Path("t.parquet").write_bytes(
            whole[:place] + bytes([whole[place] ^ 0x11]) + whole[place + 1 :]
        )
        try:
            rows = UserTable(Path("t.parquet")).rows(["t"], LeftOut("t.parquet"))
        except (ConfigError, DataError) as error:
            said.append(str(error))
        else:
            assert [cells["t"] for _, cells in rows] == texts, f"byte {place}"
    assert len(said) > 20
    assert all("t.parquet" in each and "\n" not in each for each in said)


def test_entities_are_decoded_and_words_for_nothing_are_no_texts(
    valueagents: Cli, here: Path
) -> None:
    Path("t.csv").write_text("t,v\nI act &amp; rest.,HED\nnan,HED\nI sing.,HED\n", encoding="utf-8")
    words = ("--taxonomy", "schwartz20", "--column", "value=v", "--column", "affirms=t")
    done = valueagents("import", "survey", "t.csv", *words)
    assert '"affirms":"I act & rest."' in done.stdout
    assert "decoded in 1 texts" in done.stdout
    assert "line 3: affirms is 'nan', which stands for nothing" in done.stdout


def test_numbers_are_divided_and_nan_is_not_annotated(valueagents: Cli, here: Path) -> None:
    table = {"t": ["A.", "B."], "a": ["x", "x"], "b": ["y", "y"]}
    table |= {"pa": [3.0, float("nan")], "pb": [-1.5, 0.0]}
    pq.write_table(pa.table(table), "n.parquet")
    Path("n.toml").write_text(
        'taxonomy = "schwartz20"\nprovenance = "me"\nscaling = "x"\ndivide = 3\n[columns]\n'
        'text = "t"\n[columns.option.a]\ntext = "a"\nHED = "pa"\n'
        '[columns.option.b]\ntext = "b"\nHED = "pb"\n',
        encoding="utf-8",
    )
    done = valueagents("import", "dilemmas", "n.parquet", "--map", "n.toml", "--out", "n.jsonl")
    assert done.returncode == 0, done.stderr
    bank = read_item_file(Path("n.jsonl"))
    found = [[option.values["HED"] for option in item.options] for item in bank.items]
    assert found == [[1.0, -0.5], [None, 0.0]]
    assert "divided by 3" in bank.provenance


def test_the_command_line_wins_over_the_map(valueagents: Cli, here: Path) -> None:
    words = ("import", "dilemmas", "moral.csv", "--map", "map.toml")
    done = valueagents(*words, "--column", "setting=yes", "--scaling", "other", "--out", "b.jsonl")
    assert done.returncode == 0, done.stderr
    bank = read_item_file(Path("b.jsonl"))
    assert [item.setting for item in bank.items] == ["Look.", "Tell.", "Open."]
    assert bank.scaling == "other"
