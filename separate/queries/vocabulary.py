"""The vocabulary of the query net: labels, their captions, and their hierarchy.

`labels.txt` and `audioset.json` hold labels with captions and parents, from which come the expanded
training captions, the AudioSet class tree, and suggestions for a query field. The text tower embeds
any other phrase too; this is what it was trained on.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

STEMS = ("vocals", "drums", "bass", "other")

# Templates of training captions; `{}` is the caption.
TEMPLATES = (
    "{}",
    "the {}",
    "the sound of {}",
    "{} track",
    "isolated {}",
    "only the {}",
    "{} in a song",
    "a recording of {}",
    "solo {}",
    "{} playing",
)
JOINTS = ("{} and {}", "{} with {}", "{}, {}", "a mix of {} and {}", "{} over {}")

# Held out: phrases that are in no training caption, with the stem (or None: no sound at all) that
# each must land near. Training scores itself on them; a test of the shipped weights does too.
PROBES: dict[str | None, tuple[str, ...]] = {
    "vocals": (
        "singer", "female voice", "male voice", "rap", "choir", "vocalist", "a woman singing",
        "rapper", "soprano", "a cappella", "harmonies", "she sings", "crooner", "lyrics",
        "opera singer", "chorus of voices",
    ),
    "drums": (
        "percussion", "kit", "beat", "drumming", "drummer", "percussionist", "breakbeat",
        "drum groove", "snares", "bongo", "percussive groove", "rock drums", "drum loop",
        "the drummer's kit", "cymbals and toms", "beats",
    ),
    "bass": (
        "bassline", "bassist", "upright bass", "fretless bass", "bass riff", "deep bass",
        "four-string bass", "sub bass", "bass player", "low bass tones", "funky bass",
    ),
    "other": (
        "guitarist", "pianist", "keyboard", "orchestra", "violins", "horn section",
        "saxophonist", "piano chords", "guitars", "synth strings", "cellist", "brass fanfare",
        "trumpeter", "acoustic guitars", "keyboard pads",
    ),
    None: (
        "income tax", "quarterly report", "tuesday", "chocolate cake", "democracy", "blue shirt",
        "photosynthesis", "passport office", "algebra homework", "a wooden chair", "left shoe",
        "the year 1848", "vitamin", "software licence", "marriage",
    ),
}  # fmt: skip

# Also held out, and never looked at while the captions and settings were chosen.
FRESH_PROBES: dict[str, tuple[str, ...]] = {
    "vocals": (
        "tenor", "songstress", "crooning", "scat singing", "falsetto", "vocal line", "chanting",
        "he sings", "duet singers", "yodel",
    ),
    "drums": (
        "drumbeat", "drumsticks", "tom-tom", "timbales", "backbeat", "double kick",
        "brushes on a snare", "trap hats",
    ),
    "bass": ("bass strings", "bass guitarist", "thumping bass", "slapped bass", "bass groove"),
    "other": (
        "violinist", "flautist", "clarinetist", "organist", "horn player", "synth riff",
        "strumming", "harpist",
    ),
}  # fmt: skip

# Labels of data sets that differ from ours by more than an underscore.
_ALIASES = {
    "hihat": "hi-hat",
    "electric bass": "bass guitar",
    "cymbal": "cymbals",
    "tom": "toms",
    "percussion": "drums",
    "vocal": "vocals",
    "accompaniment": "accompaniment",
}


@dataclass(frozen=True)
class Label:
    """One thing that can be asked for."""

    name: str  # what the user sees, and the first caption
    parent: str | None  # the wider label; None for a root
    captions: tuple[str, ...]  # the name and its synonyms, as used in training

    @property
    def stem(self) -> str | None:
        """The stem of a song that holds this source; None for what is no stem's part."""
        return next((name for name in ancestors(self.name) if name in STEMS), None)


@lru_cache(maxsize=1)
def labels() -> dict[str, Label]:
    """Return our labels by name, parents before children."""
    table: dict[str, Label] = {}
    for line in _read("labels.txt").splitlines():
        if line.startswith("#"):
            continue
        name, parent, captions = (part.strip() for part in line.split("|"))
        synonyms = tuple(part.strip() for part in captions.split(";"))
        if parent and parent not in table:
            raise ValueError(f"label {name!r} is listed before its parent {parent!r}")
        table[name] = Label(name, parent or None, (name, *synonyms))
    return table


def ancestors(name: str) -> Iterator[str]:
    """Yield the label and then its parents up to the root.

    Raises:
        KeyError: `name` is no label.
    """
    current: str | None = name
    while current is not None:
        yield current
        current = labels()[current].parent


def label_of(dataset_label: str) -> Label:
    """Return our label for a data set's (`lead_vocals`, `hihat`, `dog_bark` ...).

    Raises:
        KeyError: There is none.
    """
    name = dataset_label.replace("_", " ").strip().lower()
    return labels()[_ALIASES.get(name, name)]


def training_captions(label: Label) -> list[str]:
    """Return every caption of a label in every template."""
    return [template.format(caption) for caption in label.captions for template in TEMPLATES]


def suggestions() -> list[str]:
    """Return queries to offer in a user interface, the four stems first."""
    return [*STEMS, *(name for name in labels() if name not in STEMS and name != "silence")]


@lru_cache(maxsize=1)
def _audioset() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(_read("audioset.json"))
    return content


def _read(name: str) -> str:
    return files("separate.queries").joinpath(name).read_text(encoding="utf-8")


def audioset_classes() -> tuple[str, ...]:
    """Return the 527 AudioSet class names in the order of the taggers' outputs."""
    return tuple(_audioset()["classes"])


def spoken(audioset_name: str) -> str:
    """Return an AudioSet name in spoken form: without a remark in brackets, lower case."""
    return audioset_name.split(" (")[0].lower()


def audioset_parents() -> dict[str, tuple[str, ...]]:
    """Return for each of the ontology's 632 node names the names of its parents."""
    return {name: tuple(parents) for name, parents in _audioset()["parents"].items()}
