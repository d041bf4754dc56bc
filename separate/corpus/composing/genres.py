"""Genres: which drummers, grooves, sounds and tempi go together."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Genre:
    """A recipe for songs of one kind."""

    name: str
    weight: float  # how often, relative to the others
    tempo_bpm: tuple[float, float]
    drum_styles: tuple[str, ...]  # prefixes of Groove MIDI styles; empty: a drum machine
    drum_machine: float  # probability of a machine's sounds, also under human playing
    accompaniments: tuple[str, ...]  # mma library files
    written: float  # probability that our own parts are played instead of mma's
    guitars: tuple[str, ...]  # riff, strum, skank, picked, funk: our own guitar parts
    drive: tuple[float, float]  # amplifier gain in dB of the guitars
    layers: tuple[str, ...]  # further own parts: pad, arpeggio, lead, stabs, keys, organ
    minor: float  # probability of a minor key
    bass: tuple[str, ...]  # labels of the bass instruments


GENRES = (
    Genre("rock", 3.0, (95, 150), ("rock", "punk", "funk/rock"), 0.02,
          ("basicrock", "bubblerock", "folkrock", "softrock", "rock-128", "jazzrock"), 0.7,
          ("riff", "strum", "riff"), (18, 40), ("organ", "lead", "keys", "pad"), 0.5,
          ("electric_bass",)),
    Genre("metal", 1.5, (110, 190), ("rock", "punk"), 0.02, ("basicrock",), 1.0,
          ("riff", "riff"), (36, 56), ("lead", "pad"), 0.95, ("electric_bass",)),
    Genre("punk", 0.8, (150, 200), ("punk", "rock"), 0.0, ("twist", "60srock"), 0.9,
          ("riff", "strum"), (28, 44), ("lead",), 0.3, ("electric_bass",)),
    Genre("pop", 3.0, (80, 128), ("pop", "soul", "rock", "dance"), 0.45,
          ("popballad", "8beat", "softrock", "rb", "boneym", "popspiritual"), 0.55,
          ("strum", "picked", "skank"), (0, 18),
          ("pad", "keys", "arpeggio", "lead", "stabs", "organ"), 0.4,
          ("electric_bass", "electric_bass", "synth_bass")),
    Genre("ballad", 1.2, (60, 88), ("soul", "rock/halftime", "pop/soft", "rock"), 0.1,
          ("rockballad", "pianoballad", "guitarballad", "stringballad", "ballad", "rb-ballad"),
          0.35, ("picked", "strum"), (0, 12), ("pad", "keys", "lead", "strings"), 0.4,
          ("electric_bass", "electric_bass", "double_bass")),
    Genre("funk", 1.8, (90, 125), ("funk", "afrobeat", "soul"), 0.1,
          ("bvfunk", "jazzrock", "dsoul", "strut"), 0.6, ("funk", "skank"), (0, 14),
          ("stabs", "organ", "keys", "lead"), 0.7, ("electric_bass",)),
    Genre("soul", 1.0, (75, 115), ("soul", "gospel", "blues"), 0.05,
          ("rb", "dsoul", "spiritual", "slowspiritual"), 0.4, ("skank", "picked"), (0, 14),
          ("organ", "stabs", "keys", "strings"), 0.5, ("electric_bass",)),
    Genre("jazz", 1.5, (90, 200), ("jazz",), 0.0,
          ("swing", "easyswing", "mellowjazz", "modernjazz", "jazzguitar", "bebop", "jazzcombo",
           "nitejazz", "fastswing", "slowjazz", "bigband", "evansish"), 0.05, ("picked",), (0, 6),
          ("lead", "lead", "keys"), 0.5, ("double_bass", "double_bass", "electric_bass")),
    Genre("latin", 1.3, (85, 140), ("latin", "afrocuban", "reggae"), 0.05,
          ("salsa", "samba", "bossanova", "chacha", "mambo", "merengue", "rhumba", "son",
           "cubanguitar", "tango", "calypso", "beguine"), 0.05, ("picked",), (0, 8),
          ("lead", "stabs"), 0.5, ("double_bass", "electric_bass")),
    Genre("reggae", 0.7, (65, 90), ("reggae", "rock/halftime"), 0.1, ("ska",), 0.8,
          ("skank",), (0, 10), ("organ", "stabs", "lead"), 0.6, ("electric_bass", "synth_bass")),
    Genre("country", 0.8, (85, 140), ("country", "rock/rockabilly", "rock/folk", "rock"), 0.0,
          ("slowcountry", "countryswing", "bluegrass", "folk", "hillcountry", "bluefolk"), 0.3,
          ("strum", "picked"), (2, 22), ("lead", "keys"), 0.2, ("electric_bass", "double_bass")),
    Genre("blues", 0.8, (70, 130), ("blues", "rock/shuffle", "funk/purdieshuffle"), 0.0,
          ("blues", "slowblues", "shuffleboggie", "fastblues", "countryblues"), 0.2,
          ("riff", "picked"), (8, 28), ("lead", "organ", "keys"), 0.4, ("electric_bass",)),
    Genre("hiphop", 1.5, (75, 105), ("hiphop", "funk"), 0.6, ("rb", "slowjazz"), 0.85,
          ("picked",), (0, 8), ("keys", "pad", "lead", "stabs"), 0.8,
          ("synth_bass", "electric_bass", "synth_bass")),
    Genre("trap", 0.8, (65, 80), (), 1.0, ("rb",), 1.0, (), (0, 6),
          ("pad", "lead", "arpeggio", "keys"), 0.95, ("synth_bass",)),
    Genre("house", 1.8, (116, 132), (), 1.0, ("trance",), 1.0, (), (0, 6),
          ("pad", "arpeggio", "stabs", "lead", "keys"), 0.7, ("synth_bass",)),
    Genre("synthpop", 1.8, (92, 130), (), 1.0, ("boneym",), 1.0, ("skank", "picked"), (0, 16),
          ("pad", "arpeggio", "lead", "stabs"), 0.55,
          ("synth_bass", "synth_bass", "electric_bass")),
    Genre("breaks", 0.9, (125, 174), ("dance/breakbeat", "funk/fast", "hiphop"), 0.7, ("trance",),
          1.0, (), (0, 6), ("pad", "arpeggio", "lead", "stabs"), 0.85, ("synth_bass",)),
    Genre("disco", 0.8, (108, 124), ("dance/disco", "funk/groove", "soul"), 0.3,
          ("boneym", "rb"), 0.7, ("funk", "skank"), (0, 10), ("strings", "stabs", "keys"), 0.7,
          ("electric_bass", "synth_bass")),
)  # fmt: skip
