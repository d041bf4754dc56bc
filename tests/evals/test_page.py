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
from separate.evals.report.charts import box_plots, scatter
from separate.evals.report.examples import Example, song_examples
from separate.evals.report.page import page, write_page
from separate.evals.tasks.evaluation import evaluate
from separate.evals.tasks.methods import Method
from separate.evals.tasks.results import plain
from separate.evals.tasks.stems import StemsEval

RATE = 8000


@pytest.fixture
def _charts():
    pytest.importorskip("matplotlib", reason="matplotlib is in the extra `bench`")


def texts(svg):
    return ["".join(element.itertext()) for element in ElementTree.fromstring(svg).iter("text")]


def heights(svg):
    """The y coordinates of the values, from the top."""
    uses = ElementTree.fromstring(svg).iter("use")
    return [float(use.get("y")) for use in uses if "fill-opacity" in use.get("style")]


@pytest.mark.usefixtures("_charts")
def test_box_plot_shows_every_value_and_the_median():
    svg = box_plots({"vocals": [1.0, 2.0, 9.0, None], "absent": [float("nan")]})
    assert {"vocals", "2.0", "dB"} <= set(texts(svg)) and "absent" not in svg
    low, middle, high = heights(svg)
    assert low > middle > high
    assert box_plots({}) == "" and "3.0" in texts(box_plots({"one": [3.0]}))


@pytest.mark.usefixtures("_charts")
def test_scatter_escapes_names_and_drops_what_is_no_number():
    svg = scatter([("a<b", 10.0, 5.0), ("c$", 100.0, 7.0), ("d", 0.0, 1.0)], "speed", "dB")
    assert {"a<b", "c$", "speed", "dB"} <= set(texts(svg)) and "d" not in texts(svg)
    assert "currentColor" in svg and "http" not in svg


@pytest.mark.usefixtures("_charts")
@pytest.mark.parametrize(("low", "high"), [(10.0, 40.0), (1.0, 900.0), (20.0, 21.0)])
def test_a_logarithmic_axis_has_two_numbers_or_more(low, high):
    ticks = texts(scatter([("", low, 0.0), ("", high, 0.0)], "speed", "dB"))
    inside = [
        tick for tick in ticks if re.fullmatch(r"[\d.]+", tick) and low <= float(tick) <= high
    ]
    assert len(inside) >= 2


def test_a_page_without_matplotlib_says_what_to_install(monkeypatch):
    monkeypatch.setattr("separate.evals.report.page.have_matplotlib", lambda: False)
    text = page([result()], [])
    assert "pip install" in text and "<svg" not in text


def test_long_tables_are_folded():
    long = result()
    long["songs"] = [{**long["songs"][0], "song": f"S{index}"} for index in range(40)]
    assert "<summary>41 rows</summary>" in page([long], [])


def test_spectrogram_is_a_png_with_the_tone_where_it_belongs():
    uri = Example("", RATE, *[tone(1000, 2.0, 0.5)] * 3).spectrogram("estimate")
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
    uri = Example("", RATE, *[tone(440, 1.0)] * 3).audio("estimate")
    audio, rate = soundfile.read(io.BytesIO(base64.b64decode(uri.split(",")[1])))
    assert rate == RATE and audio.shape == (RATE, 2)


def test_page_is_whole_and_loads_nothing_from_elsewhere(tmp_path):
    example = Example("vocals, best: A, 7.00 dB", RATE, *[tone(440, 0.5)] * 3)
    path = write_page(tmp_path / "report", [result(), BENCH], [example])
    text = path.read_text(encoding="utf-8")
    assert text.count("<audio") == 3 and "C (seen in training)" in text and "D: broken" in text
    sources = re.findall(r'(?:src|href)="([^"]*)"', text)
    assert sources and all(source.startswith(("data:", "#")) for source in sources)
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
    task = StemsEval(Method("mixture", "mixture", "itself"), ("vocals",), "set")
    songs = find_songs(tmp_path)
    examples = song_examples(plain(evaluate(songs, task)), songs, task)
    assert [e.title.split(",")[1] for e in examples] == [" best: C", " worst: A"]
    assert examples[0].estimate.shape == examples[0].reference.shape
    trained_on = ({"songs": ["C"]},)
    marked = plain(evaluate(songs, replace(task, trained_on=trained_on)))
    assert song_examples(marked, songs, task)[0].title.split(",")[1] == " best: B"


def test_the_loudest_stretch(tmp_path):
    stems = four_stems(3.0)
    stems["vocals"][:, :16000] *= 0.1
    write_song(tmp_path / "A", stems)
    song = find_songs(tmp_path)[0].load()
    np.testing.assert_array_equal(
        song.loudest("vocals", 1.0).references["vocals"], song.references["vocals"][:, 16000:]
    )
