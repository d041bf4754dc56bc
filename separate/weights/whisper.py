"""OpenAI's Whisper models: names, addresses and sizes, the best one first.

It imports neither whisper nor torch. The addresses are those of whisper's own table; each contains
the SHA-256 of its file.
"""

from dataclasses import dataclass

_HOST = "https://openaipublic.azureedge.net/main/whisper/models"
PREFIX = "whisper-"  # before a name where models of all kinds are listed
ALIASES = {"large": "large-v3", "turbo": "large-v3-turbo"}


@dataclass(frozen=True)
class WhisperModel:
    """One published set of weights."""

    name: str
    sha256: str  # OpenAI's
    parameters: str

    @property
    def url(self) -> str:
        """OpenAI's own address."""
        return f"{_HOST}/{self.sha256}/{self.name}.pt"

    @property
    def is_english_only(self) -> bool:
        """Whether it was trained on English alone."""
        return self.name.endswith(".en")


# From best to worst on songs; of one size the multilingual one first.
WHISPER_MODELS = {
    model.name: model
    for model in (
        WhisperModel(
            "large-v3",
            "e5b1a55b89c1367dacf97e3e19bfd829a01529dbfdeefa8caeb59b3f1b81dadb",
            "1550 M",
        ),
        WhisperModel(
            "large-v2",
            "81f7c96c852ee8fc832187b0132e569d6c3065a3252ed18e56effd0b6a73e524",
            "1550 M",
        ),
        WhisperModel(
            "large-v3-turbo",
            "aff26ae408abcba5fbf8813c21e62b0941638c5f6eebfb145be0c9839262a19a",
            "809 M",
        ),
        WhisperModel(
            "large-v1",
            "e4b87e7e0bf463eb8e6956e646f1e277e901512310def2c24bf0e11bd3c28e9a",
            "1550 M",
        ),
        WhisperModel(
            "medium",
            "345ae4da62f9b3d59415adc60127b97c714f32e89e936602e85993674d08dcb1",
            "769 M",
        ),
        WhisperModel(
            "medium.en",
            "d7440d1dc186f76616474e0ff0b3b6b879abc9d1a4926b7adfa41db2d497ab4f",
            "769 M",
        ),
        WhisperModel(
            "small",
            "9ecf779972d90ba49c06d968637d720dd632c55bbf19d441fb42bf17a411e794",
            "244 M",
        ),
        WhisperModel(
            "small.en",
            "f953ad0fd29cacd07d5a9eda5624af0f6bcf2258be67c92b79389873d91e0872",
            "244 M",
        ),
        WhisperModel(
            "base",
            "ed3a0b6b1c0edf879ad9b11b1af5a0e6ab5db9205f891f668f8b0e6c6326e34e",
            "74 M",
        ),
        WhisperModel(
            "base.en",
            "25a8566e1d0c1e2231d1c762132cd20e0f96a85d16145c3a00adf5d1ac670ead",
            "74 M",
        ),
        WhisperModel(
            "tiny",
            "65147644a518d12f04e32d6f3b26facc3f8dd46e5390956a9424a650c0ce22b9",
            "39 M",
        ),
        WhisperModel(
            "tiny.en",
            "d3dd57d32accea0b295c96e26691aa14d8822fac7d9d27d5dc00b4ca2826dd03",
            "39 M",
        ),
    )
}


def plain_name(name: str) -> str:
    """Return whisper's own name of a model: `large` is `large-v3`, `whisper-base` is `base`."""
    name = name.removeprefix(PREFIX)
    return ALIASES.get(name, name)
