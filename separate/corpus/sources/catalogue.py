"""Find instruments, drum kits, drum performances and voices, with their licences.

They are searched in a folder of checkouts (`--sources`) and in Debian's standard folders. A
`Library` lists what was found, and what is missing with its origin. `prepare` makes copies that the
samplers can play: Opus samples are decoded, samples held out for evaluation replaced by a
neighbour.
"""

import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from separate.corpus.instruments.soundfonts import convert_sf3
from separate.corpus.sources.held_out import HELD_OUT
from separate.corpus.sources.licences import licence_class
from separate.errors import DataError

_SHARE = Path("/usr/share")


@dataclass(frozen=True)
class CatalogueEntry:
    """Something that can be played, or plays."""

    name: str  # unique
    kind: str  # sfz, soundfont, kit, soundfont_kit, one_shots, performances, voice
    path: str  # below the sources folder, or absolute for a Debian package
    license: str
    credit: str  # who made it
    origin: str  # repository or package
    label: str = ""  # what an instrument sounds like

    @property
    def licence_class(self) -> str:
        """free, sharealike, nc, or research."""
        return licence_class(self.license)


def _sfz(name: str, path: str, license: str, credit: str, label: str) -> CatalogueEntry:
    owners = {
        "karoryfer.black-and-green-guitars": "kmturley",
        "sfzinstruments-dsmolken-double-bass": "smpldsnds",
        "sfzinstruments-splendid-grand-piano": "smpldsnds",
        "sfzinstruments-greg-sullivan-e-pianos": "smpldsnds",
    }
    folder = path.split("/")[0]
    origin = f"github.com/{owners.get(folder, 'sfzinstruments')}/{folder}"
    return CatalogueEntry(name, "sfz", path, license, credit, origin, label)


def _debian(
    name: str, kind: str, path: str, license: str, credit: str, package: str
) -> CatalogueEntry:
    return CatalogueEntry(
        name, kind, str(_SHARE / path), license, credit, f"Debian package {package}"
    )


_KARORYFER = "Karoryfer Lecolds"
_BG = "karoryfer.black-and-green-guitars/Programs"
_KEYS = "sfzinstruments-greg-sullivan-e-pianos"
_KITS = "hydrogen/data/drumkits"
_VOICES = "asterisk/sounds"

KNOWN: tuple[CatalogueEntry, ...] = (
    CatalogueEntry("groove", "performances", "drums-with-llm/groove", "CC-BY-4.0",
           "Groove MIDI Dataset, Jon Gillick et al., Google LLC",
           "github.com/zharry29/drums-with-llm"),
    _sfz("growlybass", "karoryfer.growlybass/growlybass_clean.sfz", "CC0-1.0", _KARORYFER,
         "electric_bass"),
    _sfz("growlybass_staccato", "karoryfer.growlybass/growlybass_vicious.sfz", "CC0-1.0",
         _KARORYFER, "electric_bass_muted"),
    _sfz("emily", "karoryfer.emilyguitar/emily_clean.sfz", "CC0-1.0", _KARORYFER,
         "electric_guitar"),
    _sfz("green_guitar", f"{_BG}/04-green_twang.sfz", "CC0-1.0", _KARORYFER, "electric_guitar"),
    _sfz("green_staccato", f"{_BG}/05-green_staccato.sfz", "CC0-1.0", _KARORYFER,
         "electric_guitar_muted"),
    _sfz("black_guitar", f"{_BG}/07-black_twang.sfz", "CC0-1.0", _KARORYFER, "electric_guitar"),
    _sfz("black_staccato", f"{_BG}/08-black_staccato.sfz", "CC0-1.0", _KARORYFER,
         "electric_guitar_muted"),
    _sfz("rhodes", "jlearman.jRhodes3d/jRhodes3d-st.sfz",
         "CC-BY-NC-4.0 (samples; music made with it: CC0)", "Jeff Learman", "electric_piano"),
    _sfz("weresax", "karoryfer.weresax/Programs/Sax.sfz", "CC0-1.0", _KARORYFER, "saxophone"),
    _sfz("rubner_bass", "sfzinstruments-dsmolken-double-bass/d_smolken_rubner_bass_pizz.sfz",
         "CC0-1.0", "D. Smolken", "double_bass"),
    _sfz("splendid_piano", "sfzinstruments-splendid-grand-piano/Splendid Grand Piano.sfz",
         "Public domain", "AKAI, mapped by kinwie", "piano"),
    _sfz("wurlitzer", f"{_KEYS}/wurlitzer-ep200/Wurlitzer EP200.sfz", "CC-BY-3.0", "Greg Sullivan",
         "electric_piano"),
    _debian("fluid", "soundfont", "sounds/sf2/FluidR3_GM.sf2", "MIT", "Frank Wen",
            "fluid-soundfont-gm"),
    _debian("musescore", "soundfont", "sounds/sf3/MuseScore_General.sf3", "MIT",
            "Frank Wen, Michael Cowgill, S. Christian Collins", "musescore-general-soundfont"),
    _debian("timgm", "soundfont", "sounds/sf2/TimGM6mb.sf2", "GPL-2", "Tim Brechbill",
            "timgm6mb-soundfont"),
    _debian("black_pearl", "soundfont_kit", "sounds/sf2/Black_Pearl_4_LV2.sf2", "GPL-2+",
            "Glen MacArthur, Robin Gareus", "avldrums.lv2-soundfont"),
    _debian("red_zeppelin", "soundfont_kit", "sounds/sf2/Red_Zeppelin_4_LV2.sf2", "GPL-2+",
            "Glen MacArthur, Robin Gareus", "avldrums.lv2-soundfont"),
    *(
        _debian(name, "kit", f"{_KITS}/{folder}", license, credit, "hydrogen-drumkits")
        for name, folder, license, credit in (
            ("bja_pacific", "BJA_Pacific", "CC-BY-SA-3.0", "Luc Tunguay"),
            ("colombo", "ColomboAcousticDrumkit", "GPL-2+", "Marcos Guglielmetti"),
            ("forzee", "ForzeeStereo", "GPL-2", "V. Sadovnikov, A. Belokurov"),
            ("millo", "Millo-Drums_v.1", "GPL-2", "Emiliano Grilli"),
            ("millo2", "Millo_MultiLayered2", "GPL-2", "Emiliano Grilli"),
            ("millo3", "Millo_MultiLayered3", "GPL-2", "Emiliano Grilli"),
            ("audiophob", "Audiophob", "CC0-1.0", "Audiophob"),
            ("electric_empire", "ElectricEmpireKit", "GPL-2+", "Artemiy Pavlov"),
            ("hard_electro", "HardElectro1", "GPL-2+", "Artemiy Pavlov"),
            ("vari_breaks", "VariBreaks", "GPL-2+", "Artemiy Pavlov"),
            ("rumpf", "rumpf_kit_z01_h2", "CC-BY-3.0", "Emanuel Rumpf"),
            ("gimme_a_hand", "Gimme A Hand 1.0", "GPL-2", "Glen MacArthur"),
            ("circ_afrique", "circAfrique v4", "CC-BY-SA-3.0", "Jim Harney"),
        )
    ),
    _debian("sonic_pi", "one_shots", "sonic-pi/samples", "CC0-1.0",
            "freesound.org contributors, collected for Sonic Pi", "sonic-pi-samples"),
    *(
        _debian(f"voice_{code}", "voice", f"{_VOICES}/{folder}", license, credit,
                f"asterisk-core-sounds-{code}-g722")
        for code, folder, license, credit in (
            ("en", "en_US_f_Allison", "CC-BY-SA-3.0", "Allison Smith, Digium"),
            ("es", "es_MX_f_Allison", "CC-BY-SA-3.0", "Allison Smith, Digium"),
            ("fr", "fr_CA_f_June", "CC-BY-SA-3.0", "June Wallack"),
            ("it", "it_IT_m_Carlo", "CC-BY-3.0", "Carlo Flora"),
            ("ru", "ru_RU_f_IvrvoiceRU", "CC-BY-3.0", "Maxim Topal, ivrvoice.ru"),
        )
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Library:
    """What was found on this machine."""

    found: dict[str, CatalogueEntry]  # by name, with absolute paths
    missing: tuple[CatalogueEntry, ...] = ()
    programs: dict[str, bool] = field(default_factory=dict)  # mma, fluidsynth

    def of(self, kind: str, label: str | None = None) -> list[CatalogueEntry]:
        """Return the sources of a kind, and of a label where given, in the order of the table."""
        return [
            source
            for source in self.found.values()
            if source.kind == kind and label in (None, source.label)
        ]


def find_sources(folder: Path | None, licences: tuple[str, ...]) -> Library:
    """Look for every known source.

    Args:
        folder: Where the checkouts lie; None: Debian's packages only.
        licences: The licence classes to use; others count as missing.
    """
    found: dict[str, CatalogueEntry] = {}
    missing: list[CatalogueEntry] = []
    for source in KNOWN:
        path = Path(source.path)
        if not path.is_absolute() and folder:
            path = Path(folder).resolve() / path
        if path.is_absolute() and path.exists() and source.licence_class in licences:
            found[source.name] = CatalogueEntry(**{**source.__dict__, "path": str(path)})
        else:
            missing.append(source)
    programs = {name: shutil.which(name) is not None for name in ("mma", "fluidsynth")}
    return Library(found, tuple(missing), programs)


def prepare(
    library: Library, work: Path, on_progress: Callable[[int, int], None] | None = None
) -> Library:
    """Return the library with instruments replaced by copies below `work` that can be played."""
    found = dict(library.found)
    for source in [s for s in found.values() if s.path.endswith(".sf3")]:
        plain = work / f"{source.name}.sf2"
        if not plain.exists():
            convert_sf3(Path(source.path), plain)
        found[source.name] = CatalogueEntry(**{**source.__dict__, "path": str(plain)})
    sfz = [source for source in found.values() if source.kind == "sfz"]
    for done, source in enumerate(sfz):
        original = Path(source.path)
        known = next(known for known in KNOWN if known.name == source.name)
        root = original
        for _ in Path(known.path).parts[1:]:
            root = root.parent
        target = work / root.name
        if not (target / ".ready").exists():
            _copy_instrument(root, target)
            (target / ".ready").touch()
        path = target / original.relative_to(root)
        found[source.name] = CatalogueEntry(**{**source.__dict__, "path": str(path)})
        if on_progress:
            on_progress(done + 1, len(sfz))
    return Library(found, library.missing, library.programs)


def _copy_instrument(root: Path, target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    for path in sorted(root.rglob("*")):
        relative = path.relative_to(root)
        if path.is_dir() or relative.parts[0].startswith("."):
            continue
        copy = target / relative
        copy.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix in (".sfz", ".txt"):
            copy.write_text(_playable(path.read_text(errors="replace"), path))
        elif path.suffix == ".ogg" and "cp80" not in path.parts and "planet-t" not in path.parts:
            _decode(path, copy.with_suffix(".wav"))
        elif path.suffix in (".wav", ".flac"):
            copy.symlink_to(_allowed(path, root))


def _decode(path: Path, copy: Path) -> None:
    """Write a compressed sample as WAV, from its AAC twin where the Opus file is damaged."""
    for candidate in (path, path.with_suffix(".m4a")):
        command = ["ffmpeg", "-nostdin", "-v", "error", "-y", "-i", f"file:{candidate}", str(copy)]
        done = subprocess.run(command, check=False, capture_output=True)
        if not done.returncode and not done.stderr:
            return
    raise DataError(f"{path}: cannot be decoded; fetch this instrument again")


def _playable(text: str, path: Path) -> str:
    """Return SFZ text that names the decoded samples of a copy."""
    if not any(path.parent.rglob("*.ogg")):
        return text
    text = re.sub(r"(#define\s+\$EXT\s+)\w+", r"\g<1>wav", text)
    for folder in ("Samples", "Data"):  # the repository's folders are in lower case
        if not (path.parent / folder).exists():
            text = re.sub(rf"(default_path=|\$DIR\s+){folder}\b", rf"\g<1>{folder.lower()}", text)
    return text


def _allowed(path: Path, root: Path) -> Path:
    """Return the sample itself, or another take of the same note where it is held out."""
    key = f"{root.name}/{path.relative_to(root).as_posix()}"
    if key not in HELD_OUT:
        return path
    pattern = re.sub(r"rr\d", "rr*", path.name)
    for other in sorted(path.parent.glob(pattern)):
        if f"{root.name}/{other.relative_to(root).as_posix()}" not in HELD_OUT:
            return other
    louder = re.sub(r"_(pp|p|mp|mf|f|ff)_", "_*_", path.name)
    for other in sorted(path.parent.glob(louder)):
        if f"{root.name}/{other.relative_to(root).as_posix()}" not in HELD_OUT:
            return other
    raise ValueError(f"{path}: held out, and no other take of it")
