import pytest

from separate.errors import SettingsError
from separate.settings import Settings

WRONG = [
    {"overlap": 0.6}, {"overlap": -0.1}, {"segment": 0}, {"segment": float("nan")},
    {"shifts": -1}, {"strength": 0}, {"threads": 0}, {"start": -1}, {"start": 2, "end": 1},
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
