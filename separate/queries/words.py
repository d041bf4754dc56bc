"""Words of a query: labels in other languages, misspellings, and words that nobody has taught.

The query encoder understands English. A name of a label in one of nine other languages stands for
that label; an unknown word that resembles a known one is asked back.
"""

import re
import unicodedata
from functools import lru_cache
from importlib.resources import files

from separate.errors import QueryError
from separate.queries import vocabulary

LANGUAGES = (
    "German", "Spanish", "French", "Italian", "Portuguese", "Dutch", "Polish", "Japanese",
    "Chinese",
)  # fmt: skip
_RESEMBLES = 80.0  # a ratio of rapidfuzz, 0 to 100
_SHORTEST = 3  # letters of a word that is looked up
_ENGLISH = frozenset({"chat", "vent", "pas", "stem", "tons", "rest", "tom"})
_ARTICLES = re.compile(
    r"^(?:(?:der|die|das|den|dem|ein|eine|el|la|los|las|lo|un|una|le|les|une|il|gli|i|o|os|as|um"
    r"|uma|de|het|een)\s+|l['’])"  # noqa: RUF001 - the typographic apostrophe
)


def translated(phrase: str) -> str | None:
    """Return the label that a name in another language stands for; None if there is none.

    Args:
        phrase: In lower case, without grammar.

    Raises:
        QueryError: It means two labels.
    """
    for key in dict.fromkeys((phrase, _ARTICLES.sub("", phrase))):
        meant = _translations().get(_folded(key), ()) if key not in _ENGLISH else ()
        if len(meant) > 1:
            either = " or ".join(repr(name) for name in meant)
            raise QueryError(f"{phrase!r}: means {either}; say which in English")
        if meant:
            return meant[0]
    return None


def english(phrase: str) -> str:
    """Return the label that a name in another language stands for, else the phrase itself.

    Args:
        phrase: In lower case, without grammar.

    Raises:
        QueryError: It means two labels, or it is misspelled; the message says what is near.
    """
    if phrase in captions():
        return phrase
    if (label := translated(phrase)) is not None:
        return label
    if unknown(phrase) and (near := _resembling(_ARTICLES.sub("", phrase))):
        raise QueryError(f"{phrase!r}: is not known; did you mean {near!r}?")
    return phrase


def unknown(phrase: str) -> list[str]:
    """Return the words of a phrase that the query encoder knows only by their letters."""
    words = re.findall(r"[^\W\d_]+", phrase.casefold())
    return [word for word in words if len(word) >= _SHORTEST and not _is_known(word)]


def _is_known(word: str) -> bool:
    known = _known_words()
    forms = {word, word.removesuffix("s"), word.removesuffix("es"), f"{word}s"}
    return not known.isdisjoint(forms)


def _resembling(phrase: str) -> str | None:
    """Return the label, or the caption, whose spelling is nearest; None if none is near."""
    from rapidfuzz import fuzz, process

    choices = [*captions(), *_translations()]
    found = process.extractOne(_folded(phrase), choices, scorer=fuzz.ratio, score_cutoff=_RESEMBLES)
    if found is None:
        return None
    name = str(found[0])
    return name if name in captions() else _translations()[name][0]


@lru_cache(maxsize=1)
def captions() -> frozenset[str]:
    """Return all captions of labels and names of AudioSet classes, in lower case."""
    taught = {caption for label in vocabulary.labels().values() for caption in label.captions}
    classes = {name.casefold() for name in vocabulary.audioset_classes()}
    return frozenset(taught | classes | {name.split(" (")[0] for name in classes})


@lru_cache(maxsize=1)
def _known_words() -> frozenset[str]:
    """Whole words of the text tower's vocabulary, of captions and of the tested phrases."""
    from safetensors import safe_open

    from separate.queries.embedded import shipped_path

    with safe_open(shipped_path(), framework="np") as weights:
        tokens = weights.get_tensor("text.vocabulary").tobytes().decode().split("\n")
    probes = [phrase for phrases in vocabulary.PROBES.values() for phrase in phrases]
    taught = re.findall(r"[^\W\d_]+", " ".join((*captions(), *probes)).casefold())
    return frozenset(taught) | {token for token in tokens if token.isalpha()}


@lru_cache(maxsize=1)
def _translations() -> dict[str, tuple[str, ...]]:
    """Read `languages.txt`: labels by their names in other languages."""
    table: dict[str, tuple[str, ...]] = {}
    text = files("separate.queries").joinpath("languages.txt").read_text(encoding="utf-8")
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        label, *columns = (part.strip() for part in line.split("|"))
        if len(columns) != len(LANGUAGES):
            raise ValueError(f"languages.txt: {label!r} has {len(columns)} columns")
        for column in columns:
            for name in map(_folded, column.split(";")):
                table[name] = tuple(dict.fromkeys((*table.get(name, ()), label)))
    return table


def _folded(text: str) -> str:
    """Lower case without accents on Latin letters: "batería" and "bateria" are one."""
    parts = unicodedata.normalize("NFKD", text.strip().casefold())
    kept = "".join(part for part in parts if not "\u0300" <= part <= "\u036f")
    return unicodedata.normalize("NFC", kept).replace("ł", "l").replace("ß", "ss")
