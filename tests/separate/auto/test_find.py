from itertools import pairwise

import numpy as np
import pytest
import soundfile

from separate import Separator, Settings, example_path
from separate.auto.find import LEAST_PRESENCE, PIECE_SECONDS, PIECES, _read_pieces, find_sources
from separate.errors import Cancelled, InputError
from separate.queries import vocabulary


@pytest.fixture(scope="module")
def separator():
    return Separator(Settings(threads=1))


def test_the_example_has_drums(separator):
    parts = []
    found = find_sources(separator, example_path(), on_progress=parts.append)
    assert "drums" in [source.name for source in found]
    assert all(source.name in vocabulary.labels() for source in found)
    assert all(LEAST_PRESENCE <= source.likelihood <= 1 for source in found)
    assert found == sorted(found, key=lambda source: -source.likelihood)
    assert all(0 <= a < b <= 18.2 for source in found for a, b in source.spans)
    assert parts == sorted(parts) and parts[-1] == 1.0


def test_silence_and_the_shortest_file(separator, tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(50_000), 16_000)
    assert find_sources(separator, tmp_path / "a.wav") == []
    soundfile.write(tmp_path / "b.wav", np.full(1, 0.5), 16_000)
    assert isinstance(find_sources(separator, tmp_path / "b.wav"), list)
    with pytest.raises(InputError):
        find_sources(separator, tmp_path / "none.wav")


def test_what_progress_raises_stops_it(separator):
    def stop(part):
        raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        find_sources(separator, example_path(), on_progress=stop)


@pytest.mark.parametrize("seconds", [1, 40, 95, 100, 500])
def test_pieces_are_few_and_cover_the_file(tmp_path, seconds):
    soundfile.write(tmp_path / "a.wav", np.zeros(seconds * 100), 100)
    pieces, places, info = _read_pieces(tmp_path / "a.wav", None, 0)
    rate = info.sample_rate
    assert rate == 100 and len(pieces) == len(places) <= 2 * PIECES
    assert places[0][0] == 0 and places[-1][1] == seconds
    assert all(piece.shape[1] <= PIECE_SECONDS * rate for piece in pieces)
    assert all(a[1] == b[0] for a, b in pairwise(places))
