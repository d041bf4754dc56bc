import pickle
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from separate.errors import SettingsError
from separate.queries.query import Query
from separate.settings import Settings

WRONG = [
    {"overlap": 0.6}, {"overlap": -0.1}, {"segment": 0}, {"segment": float("nan")},
    {"shifts": -1}, {"mask_exponent": 0}, {"threads": 0}, {"start": -1}, {"start": 2, "end": 1},
    {"format": "aac"}, {"format": "WAV"}, {"subtype": "PCM_8"}, {"mp3_bitrate": 8},
    {"clip_mode": "soft"}, {"device": "tpu"}, {"device": "cuda:x"}, {"model": "a,,b"},
    {"format": "flac", "subtype": "FLOAT"}, {"format": "mp3", "subtype": "PCM_24"},
    {"filename": "{track}.{ext}"}, {"filename": "../{stem}.wav"}, {"filename": "/{stem}.wav"},
    {"filename": "{track}/../{stem}"}, {"filename": "{stem"}, {"filename": "{stem}/{artist}"},
    {"filename": "{stem!r}"}, {"filename": "{stem:>500}"}, {"filename": "{stem.__class__}"},
    {"filename": "{}/{stem}"}, {"filename": "{stem}.mp3"}, {"filename": "{stem}/"},
    {"residual": " "},
]  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_wrong_settings_are_refused_in_one_line(wrong: dict) -> None:
    with pytest.raises(SettingsError) as error:
        Settings(**wrong)
    assert "\n" not in str(error.value) and len(str(error.value)) > 10


@pytest.mark.parametrize(
    "right",
    [
        {}, {"device": "cuda:1"}, {"model": "a, b"}, {"overlap": 0.5}, {"subtype": "FLOAT"},
        {"format": "mp3", "filename": "{stem}.mp3"}, {"filename": "{track} - {stem}.{ext}"},
        {"end": 0.1}, {"residual": None}, {"format": "flac", "subtype": "PCM_24"},
    ],
    ids=str,
)  # fmt: skip
def test_right_settings_pass(right: dict) -> None:
    Settings(**right)


def test_the_fingerprint_tells_results_apart() -> None:
    plain = Settings().fingerprint()
    assert Settings(threads=3, device="cuda").fingerprint() == plain
    assert Settings(overlap=0.25).fingerprint() != plain
    assert Settings(residual=None).fingerprint() != plain


def test_the_choices_are_those_of_the_audio_code() -> None:
    from separate import audio, settings

    assert settings.FORMATS == audio.FORMATS
    assert settings.CLIP_MODES == audio.CLIP_MODES


def test_the_fingerprint_keeps_the_keys_of_old_records() -> None:
    found = Settings(sum_to_mixture=True, mask_exponent=2.0).fingerprint()
    assert found["share"] is True and found["strength"] == 2.0
    assert not {"sum_to_mixture", "mask_exponent"} & found.keys()


@pytest.mark.parametrize(
    ("made", "old", "new", "value"),
    [
        (Settings, "share", "sum_to_mixture", True),
        (Settings, "strength", "mask_exponent", 2.0),
        (partial(Query, "kick"), "words", "text_weight", 0.25),
        (partial(Query, "kick"), "firmness", "negative_weight", 3.0),
    ],
)
def test_old_names_work_and_warn(made: Callable, old: str, new: str, value: Any) -> None:
    with pytest.warns(DeprecationWarning, match=f"`{old}` is called `{new}` now"):
        named = made(**{old: value})
    assert named == made(**{new: value}) != made()
    with pytest.warns(DeprecationWarning, match=new):
        assert getattr(named, old) == value
    with pytest.warns(DeprecationWarning, match=new):
        assert replace(made(), **{old: value}) == named
    assert pickle.loads(pickle.dumps(named)) == named


def test_old_names_are_checked_like_new_ones() -> None:
    with pytest.warns(DeprecationWarning), pytest.raises(SettingsError, match="--strength 9"):
        Settings(strength=9)
    with pytest.raises(TypeError, match="loudness"):
        Settings(loudness=1)
