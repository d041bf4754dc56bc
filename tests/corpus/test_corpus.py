"""The data engine: cache, licences, instruments, players, effects, and one rendered song."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from separate.corpus.composing import parts
from separate.corpus.composing.harmony import MAJOR, Chart, Chord, random_chart
from separate.corpus.composing.notes import Note, transposed, within
from separate.corpus.composing.performances import machine_pattern
from separate.corpus.instruments.kits import resolve
from separate.corpus.instruments.machines import machine_kit
from separate.corpus.instruments.pitched import play_sfz, play_soundfont
from separate.corpus.instruments.sfz import read_sfz
from separate.corpus.instruments.synths import play_synth, random_patch
from separate.corpus.rendering import effects, mixdown
from separate.corpus.sources import listing
from separate.corpus.sources.catalogue import CatalogueEntry, Library, _allowed, find_sources
from separate.corpus.sources.convert import convert, is_holdout
from separate.corpus.sources.held_out import HELD_OUT
from separate.corpus.sources.licences import licence_class, narrowest
from separate.corpus.sources.store import SAMPLE_RATE, SongInfo, read_stereo, write_song
from separate.errors import DataError, OutputError
from separate.train.data.folders import load_corpus


def tone(seconds=0.5, hz=220.0, level=0.3):
    time = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    wave = level * np.sin(2 * np.pi * hz * time)
    return np.stack([wave, wave]).astype(np.float32)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("CC0-1.0", "free"),
        ("CC-BY-3.0 (ESC-10, K. J. Piczak)", "free"),
        ("MIT (Sectoid)", "free"),
        ("Public domain", "free"),
        ("CC-BY-SA-3.0 (Philharmonia Orchestra samples)", "sharealike"),
        ("GPL-2+", "sharealike"),
        ("CC-BY-NC-SA-4.0 (MedleyDB via MDB Drums)", "nc"),
        ("CC-BY-NC-4.0 (samples; music made with it: CC0)", "nc"),
        ("TSP speech database (free for research)", "research"),
        ("", "research"),
        ("all rights reserved", "research"),
    ],
)
def test_licence_class(text, expected):
    assert licence_class(text) == expected


def test_a_mixture_has_the_narrowest_licence():
    assert narrowest(["free", "nc", "sharealike"]) == "nc"
    assert narrowest([]) == "free"


def test_a_written_song_loads_and_sums_below_full_scale(tmp_path):
    stems = {"drums": tone(level=0.8), "electric_bass": tone(hz=55, level=0.9)}
    parents = {"drums": "drums", "electric_bass": "bass"}
    write_song(tmp_path / "a" / "song", stems, parents, SongInfo("CC0-1.0", "a test"))
    song = load_corpus([tmp_path / "a"]).songs[0]
    assert song.stems["drums"].dtype == np.int16
    assert song.stems["drums"].shape == stems["drums"].T.shape
    total = sum(stem.astype(np.float64) for stem in song.stems.values()) / 32767
    assert np.abs(total).max() < 1
    balance = np.abs(song.stems["drums"]).max() / np.abs(song.stems["electric_bass"]).max()
    assert balance == pytest.approx(0.8 / 0.9, rel=1e-2)


def test_a_song_replaces_a_song_and_no_folder_of_others(tmp_path):
    stems, info = {"kick": np.zeros((2, 100), np.float32)}, SongInfo("CC0-1.0", "a test")
    parents = {"kick": "drums"}
    for _ in range(2):
        write_song(tmp_path / "song", stems, parents, info)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/vocals.wav").write_text("a take")
    with pytest.raises(OutputError, match="was not written by this program"):
        write_song(tmp_path / "mine", stems, parents, info)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["vocals.wav"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "song"]


def test_a_song_with_stems_of_two_lengths_is_refused(tmp_path):
    stems = {"drums": tone(0.5), "bass": tone(0.4)}
    parents = {"drums": "drums", "bass": "bass"}
    with pytest.raises(ValueError, match="one length"):
        write_song(tmp_path / "song", stems, parents, SongInfo("CC0-1.0", ""))
    assert not list(tmp_path.iterdir())


def test_conversion_keeps_good_songs_and_names_bad_ones(tmp_path):
    source = tmp_path / "source"
    for name in ("good", "short", "broken"):
        (source / name).mkdir(parents=True)
        info = {"stems": {"drums": "drums", "voice": "vocals"}, "license": "CC0-1.0"}
        (source / name / "song.json").write_text(json.dumps(info))
        soundfile.write(source / name / "drums.wav", tone(2.0).T, SAMPLE_RATE)
        soundfile.write(source / name / "voice.wav", tone(2.0, 440).T, SAMPLE_RATE)
    soundfile.write(source / "short" / "voice.wav", tone(0.5).T, SAMPLE_RATE)
    (source / "broken" / "voice.wav").write_text("this is no audio")
    report = convert(source, tmp_path / "out")
    assert report.written == 1
    assert len(report.skipped) == 2
    assert "broken" in report.skipped[0] and "shorter" in report.skipped[1]
    cached = load_corpus([tmp_path / "out"]).songs[0]
    original = read_stereo(source / "good" / "voice.wav")
    assert np.abs(cached.stems["voice"].T / 32767 - original).max() < 1e-4


def test_frets_on_fire_songs_have_a_rest_without_a_label(tmp_path):
    folder = tmp_path / "songs" / "a song"
    folder.mkdir(parents=True)
    (folder / "song.ini").write_text("[song]")
    for name in ("guitar", "song"):
        soundfile.write(folder / f"{name}.ogg", tone().T, SAMPLE_RATE)
    convert(tmp_path / "songs", tmp_path / "out", "CC-BY-SA-3.0", credit="A Band")
    info = json.loads((tmp_path / "out" / "a song" / "song.json").read_text())
    assert info["stems"] == {"distorted_guitar": "other", "rest": "rest"}
    assert info["licence_class"] == "sharealike"
    assert info["source"] == "A Band"


def test_what_names_no_licence_is_counted_and_left_out_of_training(tmp_path):
    folder = tmp_path / "songs" / "a song"
    folder.mkdir(parents=True)
    for name in ("vocals", "drums", "bass", "other"):
        soundfile.write(folder / f"{name}.wav", tone().T, SAMPLE_RATE)
    assert convert(tmp_path / "songs", tmp_path / "out").unlicensed == 1
    assert convert(tmp_path / "songs", tmp_path / "free", "CC0-1.0").unlicensed == 0
    (tmp_path / "free" / "a song").rename(tmp_path / "free" / "another song")
    corpus = load_corpus([tmp_path / "out", tmp_path / "free"])
    assert [song.name for song in corpus.songs] == ["another song"]
    assert corpus.barred == ("a song",)


def test_clips_are_split_by_their_number(tmp_path):
    folder = tmp_path / "clips" / "flute"
    folder.mkdir(parents=True)
    for number in range(8, 12):
        soundfile.write(folder / f"{number:03d}.wav", tone(0.1).T[:, 0], 32000)
    licences = {"flute": {"license": "CC-BY-SA-3.0"}}
    (tmp_path / "clips" / "labels.json").write_text(json.dumps(licences))
    convert(tmp_path / "clips", tmp_path / "train", part="train")
    convert(tmp_path / "clips", tmp_path / "held", part="holdout")
    names = {
        part: [clip.name for clip in load_corpus([tmp_path / part]).clips["flute"]]
        for part in ("train", "held")
    }
    assert names == {"train": ["008", "009", "011"], "held": ["010"]}
    assert is_holdout(folder / "000.wav") and not is_holdout(folder / "name.wav")
    assert "sharealike" in listing.summarise(tmp_path / "train")


def test_a_folder_without_audio_is_an_error(tmp_path):
    with pytest.raises(DataError, match="no songs"):
        convert(tmp_path, tmp_path / "out")
    with pytest.raises(DataError, match="no cached"):
        listing.summarise(tmp_path)


def sfz_source(folder, name="instrument.sfz"):
    return CatalogueEntry("test", "sfz", str(folder / name), "CC0-1.0", "", "")


@pytest.fixture
def instrument(tmp_path):
    """Two velocity layers, the loud one with two round robins, behind an include and a macro."""
    for name, level in (("soft", 0.1), ("loud1", 0.5), ("loud2", 0.6)):
        soundfile.write(tmp_path / f"{name}.wav", tone(1.0, 261.63, level).T, SAMPLE_RATE)
    (tmp_path / "map.txt").write_text("<region> sample=soft.$EXT lovel=1 hivel=63\n")
    (tmp_path / "instrument.sfz").write_text(
        "#define $EXT wav\n<group> lokey=c3 hikey=c6 pitch_keycenter=c4 amp_veltrack=0\n"
        '#include "map.txt"\n'
        "<region> sample=loud1.wav lovel=64 seq_length=2 seq_position=1 // first\n"
        "<region> sample=loud2.wav lovel=64 seq_length=2 seq_position=2\n"
        "<region> sample=gone.wav\n<region> sample=soft.wav locc30=10\n"
    )
    return tmp_path


def test_sfz_regions_are_resolved(instrument):
    regions = read_sfz(instrument / "instrument.sfz")
    assert [region.sample.stem for region in regions] == ["soft", "loud1", "loud2"]
    assert {region.keys for region in regions} == {(48, 84)}
    assert regions[0].keycenter == 60


def test_sfz_plays_pitch_velocity_and_round_robins(instrument):
    notes = [Note(0.0, 0.4, 60, 100), Note(0.5, 0.4, 60, 100), Note(1.0, 0.4, 72, 30)]
    audio = play_sfz(sfz_source(instrument), notes, 1.5, np.random.default_rng(0))
    peaks = [np.abs(audio[:, int(t * SAMPLE_RATE) :][:, :8000]).max() for t in (0, 0.5, 1.0)]
    assert sorted(peaks[:2]) == pytest.approx([0.5, 0.6], rel=0.02)
    assert peaks[2] == pytest.approx(0.1, rel=0.05)
    octave = audio[0, SAMPLE_RATE + 1000 : SAMPLE_RATE + 9000]
    crossings = np.count_nonzero(np.diff(np.sign(octave)))
    assert crossings == pytest.approx(2 * 523.25 * 8000 / SAMPLE_RATE, abs=3)


def test_an_instrument_without_samples_is_an_error(tmp_path):
    (tmp_path / "instrument.sfz").write_text("<region> sample=gone.wav")
    with pytest.raises(DataError, match="none of its samples"):
        read_sfz(tmp_path / "instrument.sfz")


def test_held_out_samples_are_replaced_by_another_take(tmp_path):
    name = next(name for name in sorted(HELD_OUT) if "growlybass/sustain" in name)
    path = tmp_path / name
    path.parent.mkdir(parents=True)
    for take in range(1, 5):
        path.with_name(path.name[: path.name.index("rr")] + f"rr{take}.wav").touch()
    chosen = _allowed(path, tmp_path / "karoryfer.growlybass")
    assert chosen != path and chosen.exists()
    free = path.with_name(chosen.name)
    assert _allowed(free, tmp_path / "karoryfer.growlybass") == free


def test_notes_are_moved_by_octaves_and_cut():
    notes = [Note(0.5, 1.0, 20, 90), Note(0.0, 0.2, 100, 90), Note(3.0, 1.0, 60, 90)]
    assert [note.pitch for note in transposed(notes, 40, 80)] == [44, 76, 60]
    kept = within(notes, 1.0)
    assert [note.start for note in kept] == [0.0, 0.5] and kept[1].length == 0.5


def test_charts_are_deterministic_and_as_long_as_wanted():
    for family in ("jazz", "blues", "rock"):
        charts = [random_chart(np.random.default_rng(5), 13, 0.5, family) for _ in range(2)]
        assert charts[0] == charts[1]
        assert len(charts[0].bars) == len(charts[0].sections) == 13
    assert Chord(9, "m7").name == "Am7"
    assert Chord(9, "m").pitches(60) == [60, 64, 69]


@pytest.fixture
def setting():
    bars = ((Chord(0, ""),), (Chord(9, "m"), Chord(5, "")), (Chord(7, ""),), (Chord(0, ""),))
    return parts.Setting(Chart(0, MAJOR, bars, (0, 0, 1, 1)), 120.0, (0.0, 1.0, 2.5, 4.0, 6.0))


def test_players_stay_in_time_and_in_the_harmony(setting):
    rng = np.random.default_rng(1)
    ringing, muted = parts.riff_guitar(setting, rng)
    players = [
        parts.bass_line(setting, rng), [*ringing, *muted], parts.strummed(setting, rng, "strum"),
        parts.picked(setting, rng, 52), parts.pads(setting, rng), parts.stabs(setting, rng),
        parts.melody(setting, rng, 55, 74, rest=0.0),
    ]  # fmt: skip
    for notes in players:
        assert notes
        assert all(0 <= note.start < 8.1 and note.length > 0 for note in notes)
        assert all(1 <= note.velocity <= 127 and 24 <= note.pitch <= 96 for note in notes)
    assert all(note.pitch % 12 in MAJOR for note in parts.pads(setting, rng))
    assert all(55 <= note.pitch <= 74 for note in players[-1])


def test_a_machine_keeps_the_beat():
    hits = machine_pattern("house", 120.0, 2, (0, 0), np.random.default_rng(0))
    kicks = sorted(hit.start for hit in hits if hit.articulation == "kick")
    assert kicks == pytest.approx(np.arange(8) * 0.5, abs=0.02)


def test_a_kit_plays_something_near_for_what_it_lacks():
    kit = machine_kit(np.random.default_rng(0))
    assert resolve(kit, "ride") == "hh_closed"
    assert resolve(kit, "kick") == "kick"
    assert resolve(kit, "kazoo") is None
    assert all(np.isfinite(take).all() for layer in kit.layers.values() for take in layer[0])


@pytest.mark.parametrize("role", ["synth_bass", "synth_pad", "synth_lead", "arpeggio"])
def test_synths_play_in_tune_and_end(role):
    rng = np.random.default_rng(2)
    notes = [Note(0.1, 0.3, 57, 100)]
    audio = play_synth(notes, 3.0, random_patch(rng, role), rng)
    assert audio.shape == (2, 3 * SAMPLE_RATE)
    assert np.isfinite(audio).all() and np.abs(audio[:, : SAMPLE_RATE // 2]).max() > 1e-3
    assert not audio[:, : int(0.09 * SAMPLE_RATE)].any()
    assert np.abs(audio[:, -SAMPLE_RATE // 2 :]).max() < 0.02


def test_effects_keep_length_and_do_not_write_into_their_input():
    rng = np.random.default_rng(3)
    audio = tone(1.0)
    before = audio.copy()
    impulse = effects.room(rng, 0.3)
    results = [
        effects.amplifier(audio, rng, 40.0), effects.amplifier(audio, rng, 3.0),
        effects.with_room(audio, impulse, -10.0), effects.chorus(audio, rng),
        effects.echoes(audio, 0.2, 0.4, -10.0), effects.compressed(audio, -6.0, 4.0),
        effects.tone(audio, rng), effects.panned(audio, 0.4),
    ]  # fmt: skip
    for result in results:
        assert result.shape == audio.shape and result.dtype == np.float32
        assert np.isfinite(result).all() and np.abs(result).max() > 1e-3
    assert np.array_equal(audio, before)


def test_saturation_adds_harmonics():
    spectrum = np.abs(np.fft.rfft(effects.saturated(tone(1.0, 100.0), 20.0)[0]))
    assert spectrum[300] > 0.05 * spectrum[100]


def test_the_limiter_holds_the_ceiling():
    mixture = tone(1.0, 80.0, 0.5)
    mixture[:, 20000:20020] += 3.0
    limited = mixture * effects.limiter_gain(mixture, 0.8)
    assert np.abs(limited).max() <= 0.8 + 1e-3


def test_side_chains_duck_at_the_kick_only():
    gain = effects.side_chain_gain(np.array([0.5]), SAMPLE_RATE, 0.8, 0.2)
    assert gain[: SAMPLE_RATE // 3].min() > 0.99
    assert gain[int(0.52 * SAMPLE_RATE)] < 0.5
    assert gain[-1] > 0.98


def test_a_mix_shares_one_gain_and_stays_below_full_scale():
    from separate.corpus.instruments.sounds import RenderedPart

    kit = {"kick": tone(1.0, 60, 0.9), "snare": tone(1.0, 200, 0.3)}
    tracks = [
        RenderedPart("electric_bass", tone(1.0, 55, 0.9), ()),
        RenderedPart("piano", tone(1.0, 440), ()),
    ]
    stems = mixdown.mix(kit, tracks, np.random.default_rng(0))
    assert set(stems) == {"kick", "snare", "electric_bass", "piano"}
    assert np.abs(np.sum(list(stems.values()), axis=0)).max() < 1
    ratio = effects.active_rms(stems["kick"]) / effects.active_rms(stems["snare"])
    assert ratio == pytest.approx(3.0, rel=0.05)
    labels = ("hihat", "hand_drums", "synth_bass", "flute", "rapping", "backing_vocals")
    parents = [mixdown.parent_of(label) for label in labels]
    assert parents == ["drums", "drums", "bass", "other", "vocals", "vocals"]


def test_a_vowel_is_sung_at_the_melodys_pitch():
    pytest.importorskip("pyworld")
    from separate.corpus.instruments.vocals import Singer, sing, syllables_of

    time = np.arange(16000) / 16000
    buzz = sum(np.sin(2 * np.pi * 120 * k * time) / k for k in range(1, 30))
    speech = buzz * np.minimum(1, 20 * np.minimum(time, 1 - time)) * 0.2
    syllables = syllables_of(speech)
    assert syllables
    singer = Singer(1.0, 0.0, 5.0, 0.0, 0.0, 0.0)
    voice = sing(syllables, [Note(0.3, 1.2, 57, 100)], 2.0, singer, np.random.default_rng(0))
    assert voice.shape == (2 * SAMPLE_RATE,)
    middle = voice[int(0.6 * SAMPLE_RATE) : int(1.3 * SAMPLE_RATE)] * np.hanning(30870)
    spectrum = np.abs(np.fft.rfft(middle, 2**17))
    strongest = np.argmax(spectrum[: 2**13]) * SAMPLE_RATE / 2**17
    assert strongest % 220 == pytest.approx(0, abs=3) or strongest % 220 > 217


def test_a_soundfont_plays(tmp_path):
    font = find_sources(None, ("free", "sharealike")).found.get("timgm")
    if font is None or not shutil.which("fluidsynth"):
        pytest.skip("needs the Debian packages timgm6mb-soundfont and fluidsynth")
    audio = play_soundfont(font, [Note(0.2, 0.5, 69, 100)], 1.0, program=73)
    assert audio.shape == (2, SAMPLE_RATE)
    assert np.abs(audio[:, : SAMPLE_RATE // 10]).max() < 1e-3
    assert np.abs(audio[:, SAMPLE_RATE // 4 :]).max() > 1e-2


SONG_SCRIPT = """
import hashlib
from separate.corpus.rendering.render import render_song
from separate.corpus.sources.catalogue import Library
song = render_song(Library({}, (), {}), 4, 2, (4.0, 5.0))
for label, stem in song.stems.items():
    print(label, hashlib.md5(stem.tobytes()).hexdigest())
"""


def test_a_song_without_any_source_is_the_same_in_every_process():
    from separate.corpus.rendering.render import render_song

    library = Library({}, (), {})
    song = render_song(library, 4, 2, (4.0, 5.0))
    here = [f"{key} {hashlib.md5(stem.tobytes()).hexdigest()}" for key, stem in song.stems.items()]
    environment = {**os.environ, "PYTHONHASHSEED": "1"}
    command = [sys.executable, "-c", SONG_SCRIPT]
    there = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    assert here and there.stdout.splitlines() == here
    assert song.info.licence_class == "free"
    other = render_song(library, 5, 2, (4.0, 5.0))
    assert other.info.notes["bpm"] != song.info.notes["bpm"]


def test_the_number_of_jobs_changes_nothing(tmp_path):
    from separate.corpus.rendering.build import CorpusPlan, render_corpus

    library = Library({}, (), {"mma": False, "fluidsynth": False})
    for jobs in (1, 2):
        plan = CorpusPlan(tmp_path / str(jobs), 9 / 3600, 7, jobs, (4.0, 5.0))
        assert render_corpus(library, plan) >= 1
    first = sorted(path.relative_to(tmp_path / "1") for path in (tmp_path / "1").rglob("*.npy"))
    assert first
    for path in first:
        assert np.array_equal(np.load(tmp_path / "1" / path), np.load(tmp_path / "2" / path))


def test_the_example_is_there_and_short():
    import separate.errors

    info = soundfile.info(Path(separate.errors.__file__).parent / "example" / "demo.ogg")
    assert info.samplerate == SAMPLE_RATE and info.channels == 2
    assert 15 <= info.duration <= 20
