"""The grammar of queries: negation, sums and idioms, as the command line, the page and the API use.

    no vocals, without drums, everything but bass, remove the guitar, drumless   the rest of it
    drums and bass, vocals + guitar, piano with strings                          both in one result
    guitar without vocals, drums but not cymbals                                 a part left out
    karaoke, a cappella, rhythm section                                          `idioms.txt`
    drums, bass                                                                  two queries

Any other phrase names one source and goes to the query encoder as it is.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

from separate.errors import QueryError
from separate.queries.words import captions, english, translated

_LEAD_INS = re.compile(
    r"^(?:please\s+|(?:i|we)\s+(?:only\s+|just\s+)?(?:want|need)\s+(?:to\s+(?:hear|get)\s+)?"
    r"|(?:can|could)\s+you\s+|(?:extract|isolate|separate|give\s+me|get\s+me|get|play|solo|keep"
    r"|take|show\s+me|find|hear)\s+(?:out\s+)?|only\s+|just\s+|nothing\s+but\s+|both\s+)+",
)
_ARTICLES = re.compile(r"^(?:all\s+of\s+the|all\s+the|the|a|an|any|my|our|some)\s+")
_REST_OF = re.compile(
    r"^(?:no\s+more|no|not|without|w/o|sans|minus|non"
    r"|(?:everything|all|anything|every\s+sound|the\s+rest|the\s+song|the\s+music|the\s+mix|song"
    r"|music|mix|track|the\s+track|the\s+whole\s+song)\s+"
    r"(?:but|except(?:\s+for)?|excluding|without|minus|other\s+than|apart\s+from|besides|less)"
    r"|(?:remove|delete|mute|cut|drop|erase|silence|kill|strip|suppress|eliminate|filter)"
    r"(?:\s+out|\s+off|\s+away)?"
    r"|take\s+(?:out|away|off)|get\s+rid\s+of|turn\s+off|leave\s+out|rid\s+of)"
    r"(?:\s+|(?<=non)-)(?P<what>.+)$"
)
_REST_SUFFIX = re.compile(
    r"^(?P<what>.+?)(?:(?<!taking)\s+(?:removed|muted|excluded|off|left\s+out|taken\s+out|cut\s+out)|[\s-]free"
    r"|\s*-?less)$"
)
_TAKEN_OUT = re.compile(
    r"^(?:take|cut|turn|filter|leave|strip|edit)\s+(?P<what>.+?)\s+(?:out|off|away)$"
)
_DANGLING = re.compile(
    r"^(?:(?:no|not|without|minus|remove|everything\s+(?:but|except))$|(?:and|or|but|plus|\+|&)(?:\s|$))"
    r"|(?:^|\s)(?:and|or|but|with|without|plus|minus|no|except|\+|&)$"
)
_LEFT_OUT = re.compile(
    r"\s+(?:without|w/o|but\s+not|but\s+no|except(?:\s+for)?|excluding|minus|not|and\s+not|and\s+no"
    r"|with\s+no)\s+"
)
_SUM = re.compile(
    r"\s*(?:\s(?:and|plus|with|together\s+with|along\s+with|as\s+well\s+as)\s|[+&])\s*"
)
_REST_ELSEWHERE = re.compile(
    r"^(?:(?:ohne|kein|keine|keinen|sin|pas\s+de|sem|senza|zonder|geen|bez|alles\s+außer|todo\s+menos"
    r"|tout\s+sauf|tutto\s+tranne|tudo\s+menos|alles\s+behalve|wszystko\s+oprócz)\s+"
    r"|[无無]|没有|沒有|去掉|去除|移除)(?P<what>.+)$"
    r"|^(?P<what_ja>.+?)(?:なし|抜き|以外)$"
)
_SUM_ELSEWHERE = re.compile(r"\s+(?:und|y|e|et|ed|en|i|oraz)\s+|と|和")
_CHOICE = re.compile(r"\s(?:or|/|vs\.?|versus)\s")
_NEGATIVE_WORD = re.compile(r"(?:^|\s)(?:no|not|without|except|minus|remove)(?:\s|$)")


@dataclass(frozen=True)
class Meaning:
    """What a phrase asks for: the sum of some sources, or all that they are not."""

    sources: tuple[str, ...]  # phrases for the query encoder; the rest of none is everything
    left_out: tuple[str, ...] = ()  # phrases for what is removed from the sources
    is_rest: bool = False  # the result is the recording without the sources

    def __str__(self) -> str:
        """Say it in words that the grammar reads back."""
        if not self.sources:
            return "everything"
        said = " and ".join(self.sources)
        if self.is_rest:
            return f"everything but {said}"
        return f"{said} without {' and '.join(self.left_out)}" if self.left_out else said

    @property
    def is_plain(self) -> bool:
        """Whether it is one phrase for one source."""
        return len(self.sources) == 1 and not self.left_out and not self.is_rest


def split_queries(text: str) -> list[str]:
    """Split a text at its commas and semicolons into queries.

    A text whose commas belong to it (an AudioSet class such as "Speech synthesizer, voice") stays
    whole.

    Raises:
        QueryError: Nothing stands before, between or behind the commas.
    """
    whole = " ".join(text.split())
    if whole.casefold() in captions():
        return [whole]
    parts = [part.strip() for part in re.split(r"[,;、，；]", whole)]  # noqa: RUF001
    parts = [re.sub(r"^(?:and|&)\s+", "", part, flags=re.IGNORECASE) for part in parts]
    if len(parts) > 1 and not all(parts):
        raise QueryError(f"{whole!r}: nothing stands at one side of a comma; write 'drums, bass'")
    return parts


def parse_meaning(text: str) -> Meaning:
    """Read one query.

    Args:
        text: Words in English, without commas that separate queries.

    Returns:
        What it asks for; a phrase without grammar is its one source, spelled as it was given.

    Raises:
        QueryError: It can be read in two ways, or in none; the message says what to write.
    """
    phrase = " ".join(text.split())
    key = re.sub(r",?\s+(?:please|thanks|thank you)$", "", phrase.casefold().strip(" .!?\"'"))
    if not key:
        raise QueryError("the query is empty; say what to separate, for example 'drums'")
    meaning = _read(key, text=phrase)
    if meaning.is_plain and meaning.sources[0] == key:
        return Meaning((phrase,))
    return meaning


def _read(key: str, text: str) -> Meaning:
    if (idiom := _idioms().get(key)) is not None:
        return idiom
    if _DANGLING.search(key):
        raise QueryError(
            f"{text!r}: a sound is missing; write 'drums and bass' or 'everything but drums'"
        )
    if (rest := _rest(key, text, _REST_OF, _TAKEN_OUT)) is not None:
        return rest
    if key in captions():
        return Meaning((key,))
    if (rest := _rest(key, text, _REST_SUFFIX)) is not None:
        return rest
    if (stripped := _LEAD_INS.sub("", key)) != key:
        if not stripped:
            raise QueryError(f"{text!r}: names no sound; say what to separate, for example 'drums'")
        return _read(stripped, text)
    if (stripped := _ARTICLES.sub("", key)) != key and stripped:
        return _read(stripped, text)
    if _CHOICE.search(key):
        one, other = _CHOICE.split(key, maxsplit=1)
        raise QueryError(
            f"{text!r}: can be read in two ways; write '{one}, {other}' for two results,"
            f" or '{one} and {other}' for one"
        )
    left_out = _LEFT_OUT.split(key)
    if len(left_out) == 2:
        return _without(left_out[0], left_out[1], text)
    if len(left_out) > 2:
        raise _two_ways(text)
    parts = [part.strip() for part in _SUM.split(key)]
    if len(parts) > 1:
        return _sum(parts, text)
    if _NEGATIVE_WORD.search(key):
        raise _two_ways(text)
    return _elsewhere(key, text) or Meaning((english(key),))


def _rest(key: str, text: str, *patterns: re.Pattern[str]) -> Meaning | None:
    """Read "no X", "everything but X", "take X out", "X removed", "X-less"; else None."""
    bare = key if _TAKEN_OUT.match(key) or key.startswith("take ") else _LEAD_INS.sub("", key)
    match = next((found for pattern in patterns if (found := pattern.match(bare))), None)
    if match is None:
        return None
    named = {match["what"], f"{match['what']}s"}
    if patterns == (_REST_SUFFIX,) and bare.endswith("less") and not named & captions():
        return None  # "restless", "wireless"
    what = re.sub(r"\s+(?:or|nor)\s+", " and ", match["what"].strip(" -"))
    what = re.sub(r"\s+from\s+(?:the|this|my)\s+\w+$", "", what)
    if re.search(r"\s(?:but|yet)\s", what):
        raise _two_ways(text)
    inner = _read(_plural(what), text)
    if inner.is_rest or inner.left_out:
        raise _two_ways(text)
    return Meaning(inner.sources, is_rest=True)


def _elsewhere(key: str, text: str) -> Meaning | None:
    """Read negations and sums of other languages, where what they join is known."""
    if translated(key):
        return None
    if (match := _REST_ELSEWHERE.match(key)) is not None:
        inner = _read((match["what"] or match["what_ja"]).strip(), text)
        return Meaning(inner.sources, is_rest=True) if inner.is_plain else None
    parts = _SUM_ELSEWHERE.split(key)
    if len(parts) > 1 and all(part and english(part) in captions() for part in parts):
        return _sum(parts, text)
    return None


def _without(wanted: str, left_out: str, text: str) -> Meaning:
    """Read "X without Y"; of everything the rest of Y."""
    whole = _read(wanted, text)
    parts = _read(re.sub(r"\s+(?:or|nor)\s+", " and ", left_out), text)
    if parts.is_rest or parts.left_out or whole.left_out:
        raise _two_ways(text)
    if whole.is_rest:
        return Meaning(_distinct((*whole.sources, *parts.sources)), is_rest=True)
    return Meaning(whole.sources, parts.sources)


def _sum(parts: list[str], text: str) -> Meaning:
    """Read "X and Y"; sums of rests have no plain reading."""
    if not all(parts):
        raise QueryError(f"{text!r}: nothing stands at one side of 'and'; write 'drums and bass'")
    read = [_read(part, text) for part in parts]
    if any(meaning.is_rest or meaning.left_out for meaning in read):
        raise _two_ways(text)
    return Meaning(_distinct(source for meaning in read for source in meaning.sources))


def _two_ways(text: str) -> QueryError:
    return QueryError(
        f"{text!r}: is not understood; write 'drums and bass', 'guitar without vocals' or"
        " 'everything but drums and bass'"
    )


def _plural(word: str) -> str:
    """Return the known spelling of a stem in "drum-free" or "vocal removed"."""
    return f"{word}s" if word not in captions() and f"{word}s" in captions() else word


def _distinct(phrases: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(phrases))


@lru_cache(maxsize=1)
def _idioms() -> dict[str, Meaning]:
    """Read `idioms.txt`: phrases by their meaning."""
    lines = files("separate.queries").joinpath("idioms.txt").read_text(encoding="utf-8")
    table = {}
    for line in lines.splitlines():
        if not line.startswith("#"):
            words, said = (part.strip() for part in line.split("|"))
            table.update({word.strip(): _idiom(said) for word in words.split(";")})
    return table


def _idiom(said: str) -> Meaning:
    """Read the right side of an idiom: "everything", sources, or "everything but" sources."""
    named = said.removeprefix("everything but ")
    sources = () if said == "everything" else tuple(named.split(" and "))
    return Meaning(sources, is_rest=said.startswith("everything"))
