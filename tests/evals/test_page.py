import base64
import io
import re
import struct
import zlib
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
import soundfile
from song_helpers import four_stems, tone, write_song
from test_report import BENCH, result

from separate.errors import OutputError
from separate.evals.data.songs import find_songs
from separate.evals.report.charts import _log_ticks, box_plots, scatter
from separate.evals.report.examples import Example, loudest, song_examples
from separate.evals.report.page import page, write_page
from separate.evals.report.pictures import audio_uri, spectrogram_png
from separate.evals.tasks.methods import Method
from separate.evals.tasks.results import plain
from separate.evals.tasks.stems import StemsTask, evaluate_stems

RATE = 8000


def numbers(svg, tag, attribute):
    root = ElementTree.fromstring(svg)
    return [float(e.get(attribute)) for e in root.iter(tag)]


def test_box_plot_shows_every_value_and_the_median():
    svg = box_plots({"vocals": [1.0, 2.0, 9.0, None], "none": [float("nan")]})
    assert svg.count('class="dot"') == 3 and ">2.0</text>" in svg and "none" not in svg
    heights = numbers(svg, "circle", "cy")
    assert heights == sorted(heights, reverse=True)  # larger is higher up
    assert box_plots({}) == "" and box_plots({"one": [3.0]}).count("circle") == 1


def test_scatter_escapes_names_and_drops_what_is_no_number():
    svg = scatter([("a<b", 10.0, 5.0), ("c", 100.0, 7.0), ("d", 0.0, 1.0)], "speed", "dB")
    ElementTree.fromstring(svg)
    assert "a&lt;b" in svg and svg.count('class="point"') == 2
    left, right = numbers(svg, "circle", "cx")
    assert left < right


@pytest.mark.parametrize(("low", "high"), [(10.0, 40.0), (1.0, 900.0), (20.0, 21.0)])
def test_a_logarithmic_axis_has_three_round_values_or_more(low, high):
    ticks = _log_ticks(np.log10(low), np.log10(high))
    assert len(ticks) > 2 and low <= ticks[0] < ticks[-1] <= high


def test_long_tables_are_folded():
    long = result()
    long["songs"] = [{**long["songs"][0], "song": f"S{index}"} for index in range(40)]
    assert "<summary>41 rows</summary>" in page([long], [])


def test_spectrogram_is_a_png_with_the_tone_where_it_belongs():
    uri = spectrogram_png(tone(1000, 2.0, 0.5), RATE)
    data = base64.b64decode(uri.split(",")[1])
    width, height = struct.unpack(">II", data[16:24])
    start = data.index(b"IDAT") + 4
    size = struct.unpack(">I", data[start - 8 : start - 4])[0]
    rows = np.frombuffer(zlib.decompress(data[start : start + size]), np.uint8)
    pixels = rows.reshape(height, 1 + 3 * width)[:, 1:].reshape(height, width, 3)
    brightest = int(pixels.sum(axis=(1, 2)).argmax())
    hz = np.geomspace(RATE / 2, 40, height)[brightest]
    assert hz == pytest.approx(1000, rel=0.1)


def test_audio_is_playable():
    uri = audio_uri(tone(440, 1.0), RATE)
    audio, rate = soundfile.read(io.BytesIO(base64.b64decode(uri.split(",")[1])))
    assert rate == RATE and audio.shape == (RATE, 2)


def test_page_is_whole_and_loads_nothing_from_elsewhere(tmp_path):
    example = Example("vocals, best: A, 7.00 dB", RATE, *[tone(440, 0.5)] * 3)
    path = write_page(tmp_path / "report", [result(), BENCH], [example])
    text = path.read_text(encoding="utf-8")
    assert text.count("<audio") == 3 and "C (seen in training)" in text and "D: broken" in text
    sources = re.findall(r'(?:src|href)="([^"]*)"', text)
    assert sources and all(source.startswith("data:") for source in sources)
    assert "http" not in re.sub(r'src="[^"]*"', "", text)


def test_names_of_songs_cannot_break_the_page():
    nasty = result()
    nasty["songs"][0]["song"] = "<script>alert(1)</script>"
    assert "<script>" not in page([nasty], [])


def test_unwritable(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        write_page(tmp_path / "file" / "x", [result()], [])


def test_best_and_worst_song_of_each_stem(tmp_path):
    for index, name in enumerate("ABC"):
        stems = four_stems(2.0)
        stems["vocals"] *= 2.0**index
        write_song(tmp_path / name, stems)
    task = StemsTask(Method("mixture", "mixture", "itself"), ("vocals",), "set")
    songs = find_songs(tmp_path)
    examples = song_examples(plain(evaluate_stems(songs, task)), songs, task)
    assert [e.title.split(",")[1] for e in examples] == [" best: C", " worst: A"]
    assert examples[0].estimate.shape == examples[0].reference.shape
    trained_on = ({"songs": ["C"]},)
    marked = plain(evaluate_stems(songs, replace(task, trained_on=trained_on)))
    assert song_examples(marked, songs, task)[0].title.split(",")[1] == " best: B"


def test_the_loudest_stretch(tmp_path):
    stems = four_stems(3.0)
    stems["vocals"][:, :16000] *= 0.1
    write_song(tmp_path / "A", stems)
    song = find_songs(tmp_path)[0].load()
    np.testing.assert_array_equal(
        loudest(song, "vocals", 1.0).references["vocals"], song.references["vocals"][:, 16000:]
    )
