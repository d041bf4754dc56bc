"""What a query means: a table of phrases that anybody can extend."""

from importlib.resources import files

import pytest

from separate.errors import QueryError
from separate.evals.tasks.phrases import meanings
from separate.queries.grammar import Meaning, parse_meaning, split_queries
from separate.queries.query import parse_query, unknown_words
from separate.queries.vocabulary import labels
from separate.queries.words import LANGUAGES, unknown


def table() -> list[tuple[str, str]]:
    return [row for rows in meanings().values() for row in rows]


@pytest.mark.parametrize(("phrase", "meaning"), table())
def test_phrases_mean_what_they_say(phrase: str, meaning: str) -> None:
    if meaning != "?":
        assert str(parse_meaning(phrase)) == meaning
        return
    with pytest.raises(QueryError, match=r"write|say |did you mean"):
        parse_meaning(phrase)


@pytest.mark.parametrize("phrase", [phrase for phrase, meaning in table() if meaning != "?"])
def test_a_meaning_is_read_back_as_itself(phrase: str) -> None:
    meaning = parse_meaning(phrase)
    assert parse_meaning(str(meaning)) == Meaning(
        meaning.sources, meaning.left_out, meaning.is_rest
    )


def test_captions_are_sources_unless_they_negate() -> None:
    for label in labels().values():
        for caption in label.captions:
            meaning = parse_meaning(caption)
            assert meaning.is_plain or label.name in (
                "music",
                "accompaniment",
                "other",
                "vocals",
            ), f"{caption} was read as {meaning}"


def test_commas_separate_queries_but_not_inside_a_class_name() -> None:
    assert split_queries("drums, bass") == ["drums", "bass"]
    assert split_queries("drums,bass; and vocals") == ["drums", "bass", "vocals"]
    assert split_queries("Cutlery, silverware") == ["Cutlery, silverware"]
    assert split_queries("male speech, man speaking") == ["male speech, man speaking"]
    for text in ("drums,,bass", ", drums", "drums,"):
        with pytest.raises(QueryError, match="side of a comma"):
            split_queries(text)


def test_all_labels_have_names_in_all_languages() -> None:
    for line in (files("separate.queries") / "languages.txt").read_text("utf-8").splitlines()[1:]:
        label, *columns = (part.strip() for part in line.split("|"))
        assert label in labels() and len(columns) == len(LANGUAGES) and all(columns), line
        for name in (name.strip() for column in columns for name in column.split(";")):
            try:
                meaning = parse_meaning(name)
            except QueryError as error:
                assert "means" in str(error), f"{name}: {error}"  # two labels
                continue
            assert (
                not meaning.sources
                or labels_of(meaning) & {label, name.casefold()}
                or (meaning.is_rest and label in ("accompaniment", "music"))
            ), f"{name} ({label}) is read as {meaning}"


def labels_of(meaning: Meaning) -> set[str]:
    return {source.casefold() for source in meaning.sources}


def test_unknown_words_are_told() -> None:
    assert unknown("the sound of rain") == [] and unknown("drums") == []
    assert unknown("shamisen solo") == ["shamisen"] and unknown("скрипка") == ["скрипка"]
    (line,) = unknown_words([parse_query("shamisen"), parse_query("drums")])
    assert line.startswith("'shamisen' is no word that the model knows")
    (line,) = unknown_words([parse_query("gentle shamisen")])
    assert line.startswith("'shamisen' of 'gentle shamisen' is no word")
