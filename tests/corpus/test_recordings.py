"""Recordings without stems: licences by file, the cache, and what is said to sound in windows."""

import json
import os
import re
import shutil
import subprocess
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

import separate
from separate.cli.data import data_app
from separate.corpus.mixtures.build import MixtureSettings, build_mixtures
from separate.corpus.mixtures.clues import CLUES, LABELS, WindowClues, windows_of
from separate.corpus.mixtures.known import (
    BETWEEN,
    SILENT,
    SOUNDS,
    UNKNOWN,
    Known,
    measure_songs,
    states_of,
)
from separate.corpus.mixtures.labels import (
    LabelRule,
    Rule,
    fit_rule,
    load_rule,
    table,
)
from separate.corpus.mixtures.recordings import find_recordings
from separate.corpus.sources.copyrights import class_of, licence_of
from separate.corpus.sources.store import SAMPLE_RATE
from separate.errors import DataError, OutputError
from separate.train.data.folders import CorpusSong
from separate.train.data.recordings import load_mixtures, summarise

COPYRIGHT = """Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: Game

Files: *
Copyright: 2001 The Team
License: GPL-2+

Files: music/*
Copyright: 2002 Ann Composer
           2003 Bob Composer
License: CC-BY-SA-3.0

Files: music/free.ogg
Copyright: 2004 Cy
License: CC0-1.0

Files: data/tracks/choice.ogg data/tracks/odd.ogg
Copyright: 2005 Dee
License: GPL-3 or CC-BY-3.0

Files: data/tracks/odd.ogg
Copyright: 2006 Ed
License: Oddware

Files: debian/*
Copyright: 2007 Fay
License: GPL-3+

License: GPL-2+
 Files: in a licence's text are no stanza.
"""


@pytest.mark.parametrize(
    ("path", "name", "licence_class", "credit"),
    [
        ("usr/share/game/intro.ogg", "GPL-2+", "sharealike", "2001 The Team"),
        ("usr/share/game/music/a b.ogg", "CC-BY-SA-3.0", "sharealike",
         "2002 Ann Composer; 2003 Bob Composer"),
        ("usr/share/game/music/free.ogg", "CC0-1.0", "free", "2004 Cy"),
        ("usr/share/game/tracks/choice.ogg", "GPL-3 or CC-BY-3.0", "free", "2005 Dee"),
    ],
)  # fmt: skip
def test_a_file_has_the_licence_of_the_last_stanza_that_names_it(path, name, licence_class, credit):
    found = licence_of(path, COPYRIGHT)
    assert (found.name, found.licence_class, found.credit) == (name, licence_class, credit)


def test_an_unclear_licence_gives_its_reason():
    odd = licence_of("usr/share/data/tracks/odd.ogg", COPYRIGHT)
    assert odd.licence_class == ""
    assert "Oddware" in odd.reason
    free_form = licence_of("usr/share/music/a.ogg", "This package was made by hand.\nIt is free.")
    assert free_form.licence_class == ""
    assert "--licence" in free_form.reason


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("GPL-2+ and CC-BY-3.0", "sharealike"),
        ("GPL-2+ OR CC-BY-3.0", "free"),
        ("CC-BY-NC-3.0", "nc"),
        ("Expat", "free"),
        ("Drascula-License", "sharealike"),
        ("Oddware or GPL-2", "sharealike"),
        ("Oddware and GPL-2", ""),
        ("", ""),
    ],
)
def test_class_of_a_short_name(name, expected):
    assert class_of(name) == expected


def noise(seconds, seed=0, level=0.1):
    rng = np.random.default_rng(seed)
    return (level * rng.standard_normal((round(seconds * SAMPLE_RATE), 2))).astype(np.float32)


@pytest.fixture
def package(tmp_path):
    """A package as it is unpacked: two files, one of them of an unclear licence, and an archive."""
    root = tmp_path / "packages" / "game-music"
    (root / "usr/share/doc/game-music").mkdir(parents=True)
    (root / "usr/share/doc/game-music/copyright").write_text(COPYRIGHT)
    (root / "usr/share/game/music").mkdir(parents=True)
    (root / "usr/share/data/tracks").mkdir(parents=True)
    soundfile.write(root / "usr/share/game/music/long.wav", noise(27, 1), SAMPLE_RATE)
    soundfile.write(root / "usr/share/data/tracks/odd.ogg", noise(22, 2), SAMPLE_RATE)
    soundfile.write(tmp_path / "free.ogg", noise(21, 3), SAMPLE_RATE)
    soundfile.write(tmp_path / "short.ogg", noise(15, 4), SAMPLE_RATE)
    with zipfile.ZipFile(root / "usr/share/game/data.pk3", "w") as archive:
        archive.write(tmp_path / "free.ogg", "music/free.ogg")
        archive.write(tmp_path / "short.ogg", "music/short.ogg")
        archive.write(tmp_path / "free.ogg", "music/again.ogg")
        archive.writestr("readme.txt", "no sound")
    return tmp_path / "packages"


class FakeFinder:
    """Measures what the test says: drums sound in the first window of a recording alone."""

    tagger_name = "fake"
    model_sha256 = "0" * 64

    def __init__(self):
        self.windows = []

    def measure(self, window):
        self.windows.append(window)
        values = np.full((len(LABELS), len(CLUES)), -5.0, np.float32)
        if len(self.windows) == 1:
            values[LABELS.index("drums")] = 5.0
        return WindowClues(values, music=0.9, level_db=-20.0)


def rule(tagger="fake", sounds=0.9, silent=0.1):
    weights = (1.0,) * len(CLUES)
    one = LabelRule(0.0, weights, sounds, silent)
    return Rule(
        tagger, dict.fromkeys(LABELS, one) | {"bass": replace(one, sounds=None, silent=None)}
    )


def test_recordings_are_found_in_folders_and_archives(package):
    found = find_recordings([package])
    assert [(r.name, r.licence.licence_class) for r in found.recordings] == [
        ("usr/share/game/data.pk3!music/again.ogg", "sharealike"),
        ("usr/share/game/data.pk3!music/free.ogg", "free"),
        ("usr/share/game/data.pk3!music/short.ogg", "sharealike"),
        ("usr/share/game/music/long.wav", "sharealike"),
    ]
    assert len({r.slug for r in found.recordings}) == 4
    assert len(found.left_out) == 1
    assert "odd.ogg" in found.left_out[0]
    assert find_recordings([package / "game-music"]).recordings == found.recordings


def test_a_corpus_is_built_once_and_read_with_labels(package, tmp_path):
    finder, out = FakeFinder(), tmp_path / "corpus"
    report = build_mixtures([package], out, finder)
    assert (report.written, report.short, report.doubles) == (2, 1, 1)
    assert len(report.left_out) == 1
    assert not report.skipped
    again = build_mixtures([package], out, finder)
    assert (again.written, again.present, again.short, again.doubles) == (0, 2, 1, 1)
    assert len(finder.windows) == 5  # 10 + 10 (+ 1 s) and 10 + 10 + 7 s; nothing a second time
    mixtures = load_mixtures([out], rule=rule())
    assert sum(len(mixture.windows) for mixture in mixtures) == 5
    loudest = [w for m in mixtures for w in m.windows if w.sounds]
    assert [(w.sounds, w.start) for w in loudest] == [(("drums",), 0)]
    others = tuple(label for label in LABELS if label != "bass")
    assert loudest[0].silent == tuple(label for label in others if label != "drums")
    assert [w.silent for m in mixtures for w in m.windows if not w.sounds] == [others] * 4
    long = next(mixture for mixture in mixtures if "long" in mixture.name)
    assert long.licence_class == "sharealike"
    assert "Ann Composer" in long.source
    assert long.audio.dtype == np.int16
    assert long.audio.shape == (27 * SAMPLE_RATE, 2)
    np.testing.assert_allclose(long.audio[:1000] / 32767, noise(27, 1)[:1000], atol=2e-4)
    assert [w.stop - w.start for w in long.windows] == [441000, 441000, 7 * SAMPLE_RATE]


def test_a_recording_that_was_not_finished_is_made_again(package, tmp_path):
    out = tmp_path / "corpus"
    build_mixtures([package], out, FakeFinder())
    folder = next(path.parent for path in out.rglob("mixture.json") if "long" in str(path))
    (folder / "mixture.json").rename(folder.parent / "mixture.json.kept")
    report = build_mixtures([package], out, FakeFinder())
    assert (report.written, report.present) == (1, 1)
    first, second = folder.parent / "mixture.json.kept", folder / "mixture.json"
    assert json.loads(first.read_text())["sha256"] == json.loads(second.read_text())["sha256"]


def test_only_wanted_classes_are_kept(package, tmp_path):
    settings = MixtureSettings(licences=("free",))
    report = build_mixtures([package], tmp_path / "out", FakeFinder(), settings)
    assert report.written == 1
    assert len(report.left_out) == 4
    assert [m.licence_class for m in load_mixtures([tmp_path / "out"], rule=rule())] == ["free"]
    assert load_mixtures([tmp_path / "out"], ("sharealike",), rule()) == ()


def test_clues_of_another_tagger_are_refused(package, tmp_path):
    build_mixtures([package], tmp_path / "out", FakeFinder())
    with pytest.raises(DataError, match="fake"):
        load_mixtures([tmp_path / "out"], rule=rule("other"))


def test_a_file_that_is_no_audio_is_skipped_and_named(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "bad.ogg").write_bytes(b"no sound" * 20_000)
    soundfile.write(tmp_path / "folder" / "good.wav", noise(21), SAMPLE_RATE)
    report = build_mixtures([tmp_path / "folder"], tmp_path / "out", FakeFinder(), licence="CC0")
    assert report.written == 1
    assert len(report.skipped) == 1
    assert "bad.ogg" in report.skipped[0]


def amiga_module():
    """A module of one sample, a square wave, held for the 64 rows of its only pattern."""
    header = bytearray(b"square".ljust(20, b"\0"))
    for number in range(31):
        length = 32 if number == 0 else 0  # in words; then volume, and where the loop lies
        loop = length if number == 0 else 1
        sample = bytes(22) + length.to_bytes(2, "big") + bytes([0, 64 if number == 0 else 0])
        header += sample + bytes(2) + loop.to_bytes(2, "big")
    header += bytes([1, 127]) + bytes(128) + b"M.K."
    note = bytes([0x01, 0xAC, 0x10, 0x00])  # sample 1, period 428
    pattern = note + bytes(4 * 4 * 64 - 4)
    return bytes(header) + pattern + bytes([100, 156] * 32)


@pytest.mark.skipif(
    not shutil.which("ffmpeg")
    or "libopenmpt" not in subprocess.run(
        ["ffmpeg", "-v", "error", "-demuxers"], capture_output=True, text=True, check=False
    ).stdout,
    reason="ffmpeg without libopenmpt renders no modules",
)  # fmt: skip
def test_a_tracker_module_is_rendered(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "song.mod").write_bytes(amiga_module())
    settings = MixtureSettings(shortest_seconds=5.0)
    finder = FakeFinder()
    folders = [tmp_path / "folder"]
    report = build_mixtures(folders, tmp_path / "out", finder, settings, licence="CC0")
    assert report.skipped == []
    assert report.written == 1
    assert np.abs(finder.windows[0]).max() > 0.01


def test_the_script_unpacks_audio_and_copyright_files_of_packages(tmp_path):
    tools = tmp_path / "tools"
    tools.mkdir()
    tree = 'd="$3/usr/share/doc/game"; mkdir -p "$d" "$3/music"; echo a >"$d/copyright"'
    scripts = {
        "apt-get": '[ "$3" != gone ] && echo deb >"$3.deb"',
        "dpkg-deb": f'{tree}; echo b >"$3/music/a b.ogg"; echo c >"$3/music/cover.png"',
    }
    for name, body in scripts.items():
        (tools / name).write_text(f"#!/bin/sh\n{body}\n")
        (tools / name).chmod(0o755)
    script = Path(__file__).parents[2] / "scripts" / "fetch_mixtures.sh"
    environment = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"}

    def run(*names):
        command = [str(script), str(tmp_path / "out"), *names]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    first = run("game", "gone", "other")
    assert first.returncode == 1
    assert "gone: could not be fetched" in first.stderr
    files = sorted(p.relative_to(tmp_path / "out") for p in (tmp_path / "out").rglob("*.*"))
    assert [str(file) for file in files] == [
        "game/.complete", "game/music/a b.ogg", "other/.complete", "other/music/a b.ogg",
    ]  # fmt: skip
    assert (tmp_path / "out" / "game/usr/share/doc/game/copyright").exists()
    again = run("game")
    assert (again.returncode, again.stdout) == (0, "")
    assert subprocess.run([str(script)], check=False, capture_output=True).returncode == 2


def test_windows_lie_end_to_end():
    assert list(windows_of(25, 10, 5)) == [(0, 10), (10, 20), (20, 25)]
    assert list(windows_of(24, 10, 5)) == [(0, 10), (10, 20)]
    with pytest.raises(DataError):
        MixtureSettings(window_seconds=5)
    with pytest.raises(DataError, match="unknown licence class"):
        MixtureSettings(licences=("fre",))


def test_states_of_a_window_follow_the_stems():
    parents = {
        "drums": "drums", "synth_bass": "bass", "piano": "other", "effects": "other",
        "violin": "other",
    }  # fmt: skip
    stems = {label: noise(1, seed).T for seed, label in enumerate(parents)}
    stems["piano"] = stems["piano"] * 0.02  # 34 dB below the others
    stems["violin"] = stems["violin"] * 0.0
    song = CorpusSong("song", {}, parents, "free", SAMPLE_RATE)

    def states(*names):
        chosen = {name: stems[name] for name in names}
        found = states_of(np.sum(list(chosen.values()), axis=0), chosen, song)
        return dict(zip(LABELS, found.tolist(), strict=True))

    found = states("drums", "synth_bass", "piano", "violin")
    assert found["drums"] == found["bass"] == SOUNDS
    assert found["vocals"] == found["guitar"] == found["strings"] == SILENT
    assert found["piano"] == BETWEEN
    assert found["synth"] == UNKNOWN  # the synthesiser plays the bass
    assert states("drums", "effects")["guitar"] == UNKNOWN
    assert states("drums", "effects")["bass"] == SILENT
    silent = np.zeros((2, SAMPLE_RATE), np.float32)
    assert states_of(silent, {"drums": silent}, song) is None


def test_known_songs_are_measured_with_stems_left_out(tmp_path):
    parents = {"drums": "drums", "bass": "bass", "piano": "other"}
    stems = {label: (32767 * noise(7, seed)).astype(np.int16) for seed, label in enumerate(parents)}
    song = CorpusSong("one", stems, parents, "free", 7 * SAMPLE_RATE)
    known = measure_songs([song], FakeFinder(), window_seconds=3.0)
    assert known.whole.tolist() == [True, False, True, False]
    assert (known.states[known.whole][:, LABELS.index("drums")] == SOUNDS).all()
    assert (known.states[~known.whole] == SILENT).sum() > (
        known.states[known.whole] == SILENT
    ).sum()
    known.save(tmp_path / "known.npz")
    again = Known.load(tmp_path / "known.npz")
    assert again.tagger == "fake"
    np.testing.assert_array_equal(again.values, known.values)
    with pytest.raises(OutputError, match="cannot be written"):
        known.save(tmp_path / "none" / "known.npz")
    (tmp_path / "known.npz").write_bytes(b"not an archive")
    with pytest.raises(DataError, match="delete it"):
        Known.load(tmp_path / "known.npz")


def test_labels_are_checked_by_a_command(tmp_path, known):
    known.save(tmp_path / "known.npz")
    command = ["check-labels", "--measured", str(tmp_path / "known.npz"), "--fit"]
    result = CliRunner().invoke(data_app, [*command, str(tmp_path / "rule.json")])
    assert result.exit_code == 0, result.output
    assert "| drums | sounds | used: " in result.output
    assert load_rule(tmp_path / "rule.json").labels["drums"].sounds is not None
    failed = CliRunner().invoke(data_app, [*command, str(tmp_path / "none" / "rule.json")])
    assert failed.exit_code == 1
    assert "error: " in failed.output
    assert CliRunner().invoke(data_app, ["check-labels"]).exit_code == 2


@pytest.fixture
def known():
    """Clues that say all of drums, something of bass, and nothing of the other labels."""
    rng = np.random.default_rng(5)
    count = 600
    states = rng.integers(0, 2, (count, len(LABELS))).astype(np.int8)
    values = rng.standard_normal((count, len(LABELS), len(CLUES))).astype(np.float32)
    values[:, LABELS.index("drums"), 0] += 10 * states[:, LABELS.index("drums")] - 5
    values[:, LABELS.index("bass"), 1] += 2 * states[:, LABELS.index("bass")] - 1
    songs = np.array([f"song{number % 12}" for number in range(count)])
    rendered = np.arange(count) % 2 == 1
    everything = np.ones(count, bool)
    return Known(values, states, songs, rendered, everything, everything, "fake")


def test_a_rule_is_fitted_and_labels_that_cannot_be_told_fall_out(known):
    fitted, likelihoods = fit_rule(known)
    drums, bass, piano = (fitted.labels[label] for label in ("drums", "bass", "piano"))
    assert drums.sounds is not None
    assert drums.silent is not None
    assert bass.sounds is not None
    assert bass.sounds > drums.sounds
    assert piano.sounds is None
    column = LABELS.index("bass")
    gets = likelihoods[:, column] >= bass.sounds
    assert (known.states[gets, column] == SOUNDS).mean() > 0.85
    printed = table(known, likelihoods, fitted)
    assert f"| drums | sounds | used: {drums.sounds:g} | 1.00 | 1.00 |" in printed
    assert "| piano | sounds | none is good enough |" in printed


def test_the_rule_that_ships_says_only_what_it_may(tmp_path):
    shipped = load_rule()
    assert set(shipped.labels) == set(LABELS)
    assert any(entry.sounds is not None for entry in shipped.labels.values())
    for entry in shipped.labels.values():
        assert entry.sounds is None or entry.sounds >= 0.5
        assert entry.silent is None or entry.silent <= 0.5
    shipped.save(tmp_path / "rule.json")
    assert load_rule(tmp_path / "rule.json") == shipped
    with pytest.raises(DataError, match=r"none\.json"):
        load_rule(tmp_path / "none.json")


def test_the_commands_cache_a_recording_and_list_it(tmp_path):
    (tmp_path / "music").mkdir()
    example = separate.example_path()
    (tmp_path / "music" / example.name).write_bytes(example.read_bytes())
    command = ["mixtures", str(tmp_path / "music"), "--tagger", "embedded", "-o"]
    command += [str(tmp_path / "out"), "--licence", "CC-BY-3.0", "--shortest", "5"]
    result = CliRunner().invoke(data_app, command)
    assert result.exit_code == 0, result.output
    assert "1 recordings written" in result.output
    info = json.loads(next((tmp_path / "out").rglob("mixture.json")).read_text())
    values = np.array([window["clues"] for window in info["windows"]])
    assert np.isfinite(values).all()
    drums, strings = (values[:, LABELS.index(name)].mean(0) for name in ("drums", "strings"))
    assert drums[CLUES.index("presence")] > strings[CLUES.index("presence")]
    assert "free" in summarise(tmp_path / "out")
    counted = CliRunner().invoke(data_app, [*command, "--count"])
    assert re.search(r"music +free +1 +0\.01\n", counted.output)
    again = CliRunner().invoke(data_app, command)
    assert "0 recordings written" in again.output
