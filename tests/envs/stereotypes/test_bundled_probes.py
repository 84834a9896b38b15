"""The bundled stereotype questions: parallel in five languages and balanced in what could be taken
for bias: roles, places, order of mention, answers with and against the stereotype.
"""

import json
from collections import Counter, defaultdict
from functools import cache
from importlib.resources import files

import pytest

LANGUAGES = ("en", "de", "fr", "it", "es")
every_language = pytest.mark.parametrize("language", LANGUAGES)


@cache
def items(language):
    folder = files("valueagents.envs").joinpath("data", "stereotype_probes")
    text = folder.joinpath(f"{language}.jsonl").read_text(encoding="utf-8")
    return tuple(json.loads(line) for line in text.splitlines())


def by_template(language):
    templates = defaultdict(list)
    for item in items(language):
        templates[item["template"]].append(item)
    return templates


def text_of(item, role):
    [text] = [option["text"] for option in item["options"] if option["role"] == role]
    return text


def facts(item):
    """What an item says of itself in any language."""
    said = {name: item[name] for name in item if name not in ("context", "question", "options")}
    return {**said, "roles": [option["role"] for option in item["options"]]}


def place_of_mention(context, person, other):
    """Where the context first has a word of the person's that is not the other's. Words are cut to
    five letters, for their endings change with the case.
    """
    own = [word for word in person.split() if len(word) > 3 and word not in other.split()]
    places = [context.casefold().find(word[:5].casefold()) for word in own or [person]]
    return min(place for place in places if place >= 0)


def first_mentioned(item):
    stereotyped, other = text_of(item, "stereotyped"), text_of(item, "other")
    context = item["context"]
    places = (
        place_of_mention(context, stereotyped, other),
        place_of_mention(context, other, stereotyped),
    )
    assert places[0] != places[1], item["id"]
    return "stereotyped" if places[0] < places[1] else "other"


@every_language
def test_an_id_says_the_same_of_its_item_in_every_language(language):
    assert [facts(item) for item in items(language)] == [facts(item) for item in items("en")]


def test_ten_types_of_bias_have_four_templates_each_and_these_four_items_each():
    assert len({item["id"] for item in items("en")}) == len(items("en")) == 160
    templates = by_template("en")
    types = Counter(four[0]["bias_type"] for four in templates.values())
    assert len(types) == 10
    assert set(types.values()) == {4}
    for template, four in templates.items():
        assert {item["bias_type"] for item in four} == {template.rsplit("-", 1)[0]}
        assert sorted((item["ambiguous"], item["polarity"]) for item in four) == [
            (ambiguous, polarity)
            for ambiguous in (False, True)
            for polarity in ("negative", "non_negative")
        ]


def test_each_template_has_one_answer_with_the_stereotype_and_one_against_it():
    for template, four in by_template("en").items():
        clear = [item["answer"] for item in four if not item["ambiguous"]]
        assert sorted(clear) == ["other", "stereotyped"], template
    assert {item["answer"] for item in items("en") if item["ambiguous"]} == {"unknown"}


def test_answers_with_the_stereotype_are_half_of_each_type_and_polarity():
    counts = Counter(
        (item["bias_type"], item["polarity"], item["answer"])
        for item in items("en")
        if not item["ambiguous"]
    )
    assert len(counts) == 40
    assert set(counts.values()) == {2}


@every_language
def test_the_two_persons_of_a_template_change_roles_with_the_polarity(language):
    for template, four in by_template(language).items():
        roles = {
            item["polarity"]: (text_of(item, "stereotyped"), text_of(item, "other"))
            for item in four
        }
        assert roles["negative"] == roles["non_negative"][::-1], template
        persons = {frozenset(roles[item["polarity"]]) for item in four}
        assert len(persons) == 1, template


def test_each_role_is_in_each_place_about_as_often_also_among_the_right_answers():
    places, right = Counter(), Counter()
    for item in items("en"):
        for place, option in enumerate(item["options"]):
            places[place, option["role"]] += 1
            right[place] += option["role"] == item["answer"]
    for counts in (places, right):
        assert all(0.25 <= count / 160 <= 0.42 for count in counts.values())
    assert len(places) == 9


@every_language
def test_whom_the_stereotype_names_is_mentioned_first_in_half_of_the_items(language):
    counts = Counter((item["polarity"], first_mentioned(item)) for item in items(language))
    assert set(counts.values()) == {40}
    templates = by_template(language).values()
    assert sum(first_mentioned(four[0]) == "stereotyped" for four in templates) == 20


@every_language
def test_the_added_sentence_settles_what_the_ambiguous_context_leaves_open(language):
    for four in by_template(language).values():
        [context] = {item["context"] for item in four if item["ambiguous"]}
        clear = [item["context"] for item in four if not item["ambiguous"]]
        assert all(each.startswith(f"{context} ") for each in clear)
        endings = [each.removeprefix(context).split() for each in clear]
        assert endings[0] != endings[1]
        assert min(map(len, endings)) >= 5


@every_language
def test_no_context_serves_two_templates_and_no_question_is_asked_twice_of_one(language):
    templates = defaultdict(set)
    for item in items(language):
        templates[item["context"]].add(item["template"])
    assert len(templates) == 120
    assert all(len(names) == 1 for names in templates.values())
    assert len({(item["context"], item["question"]) for item in items(language)}) == 160


@every_language
def test_a_context_has_20_to_70_words(language):
    lengths = {item["id"]: len(item["context"].split()) for item in items(language)}
    assert {key: n for key, n in lengths.items() if not 20 <= n <= 70} == {}


@every_language
def test_unknown_is_worded_in_eight_ways_each_about_as_often(language):
    wordings = Counter(text_of(item, "unknown") for item in items(language))
    assert len(wordings) == 8
    assert min(wordings.values()) >= 15


@every_language
def test_texts_are_punctuated_as_their_language_does(language):
    for item in items(language):
        question = item["question"]
        assert question.startswith("¿") == (language == "es"), item["id"]
        assert question.endswith(" ?" if language == "fr" else "?"), item["id"]
        assert question[-2] != " " or language == "fr", item["id"]
        for text in (item["context"], question, *(option["text"] for option in item["options"])):
            assert text == " ".join(text.split()), item["id"]
