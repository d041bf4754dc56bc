from pathlib import Path

import pytest
from batch_helpers import sound

from separate.batch.names import distinct, safe_name, stem_names
from separate.batch.tracks import find_tracks, output_places
from separate.errors import SettingsError
from separate.settings import Settings

NASTY = [
    "../x", "a/b", "..", ".", "", " ", "x" * 300, "日本" * 100, "🎸👩‍🎤", "a\nb", "a\0b", "-rf",
    "con", "C:\\x", "\udcff", "~", "a" * 99 + "é", ".hidden", "x\u202egpj.exe", "*?<>|\"",
    "/etc/passwd",
]  # fmt: skip


@pytest.mark.parametrize("text", NASTY)
def test_safe_names_can_be_written_and_stay_in_the_folder(tmp_path: Path, text: str) -> None:
    name = safe_name(text)
    path = tmp_path / f"{name}.wav"
    path.write_bytes(b"x")
    assert [p.name for p in tmp_path.iterdir()] == [f"{name}.wav"]
    assert path.resolve().parent == tmp_path.resolve()
    assert len(name.encode()) <= 100
    assert not name.startswith((".", "-"))


def test_safe_names_keep_what_can_be_kept() -> None:
    assert safe_name("lead guitar") == "lead guitar"
    assert safe_name("🎸 Gitarre für Zoë") == "🎸 Gitarre für Zoë"
    assert safe_name("a/b") == "a_b"
    assert safe_name("x" * 300) != safe_name("x" * 301)


def test_stem_names_differ() -> None:
    assert distinct(["a", "A", "a"]) == ["a", "A (2)", "a (3)"]
    assert stem_names(["a/b", "a_b", "residual"]) == {
        "a/b": "a_b", "a_b": "a_b (2)", "residual": "residual",
    }  # fmt: skip


def names(*inputs: Path, **options: object) -> dict[str, str]:
    tracks = find_tracks(inputs, **options)  # type: ignore[arg-type]
    return {str(track.path.name): track.name for track in tracks}


def test_tracks_keep_sub_folders_and_differ(tmp_path: Path) -> None:
    for place in ("a.wav", "a.flac", "x/song.wav", "y/song.wav", "y/z/01. B.wav"):
        path = tmp_path / place
        sound(path, format=path.suffix[1:])
    found = [track.name for track in find_tracks([tmp_path])]
    assert found == ["a.flac", "a.wav", "x/song", "y/song", "y/z/01. B"]
    files = [tmp_path / "x/song.wav", tmp_path / "y/song.wav", tmp_path / "x/song.wav"]
    assert [track.name for track in find_tracks(files)] == ["x/song", "y/song"]


def test_results_are_no_inputs(tmp_path: Path) -> None:
    song = sound(tmp_path / "song.wav")
    old = sound(tmp_path / "song/drums.wav")
    sound(tmp_path / "out/song/drums.wav")
    assert names(tmp_path, made=[old], folder=tmp_path / "out") == {"song.wav": "song"}
    assert names(song, old, made=[old]) == {"song.wav": "song", "drums.wav": "drums"}


def test_what_is_missing_stays_in(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    found = find_tracks([tmp_path / "empty", tmp_path / "no.wav"])
    assert [track.name for track in found] == ["empty", "no"]


def test_plans(tmp_path: Path) -> None:
    tracks = find_tracks([sound(tmp_path / "a.wav"), sound(tmp_path / "b.wav")])
    stems = stem_names(["drums", "residual"])
    plans = output_places(tracks, stems, Settings(format="flac", filename="{stem}/{track}.{ext}"))
    assert plans[1] == {"drums": "drums/b.flac", "residual": "residual/b.flac"}
    with pytest.raises(SettingsError, match="track"):
        output_places(tracks, stems, Settings(filename="{stem}.{ext}"))
