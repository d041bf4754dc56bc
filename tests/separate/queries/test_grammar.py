"""What a query means: a table of phrases that anybody can extend."""

from pathlib import Path

import pytest

from separate.errors import QueryError
from separate.queries.grammar import Meaning, parse_meaning, split_queries
from separate.queries.vocabulary import labels

TABLE = Path(__file__).parents[2] / "data" / "phrases.txt"


def table() -> list[tuple[str, str]]:
    rows = (line.split("|") for line in TABLE.read_text().splitlines() if line[0] != "#")
    return [(phrase.strip(), meaning.strip()) for phrase, meaning in rows]


@pytest.mark.parametrize(("phrase", "meaning"), table())
def test_phrases_mean_what_they_say(phrase: str, meaning: str) -> None:
    if meaning != "?":
        assert str(parse_meaning(phrase)) == meaning
        return
    with pytest.raises(QueryError, match=r"write|say what"):
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
