"""Parts of the library that evaluation and benchmarks use: `evals` imports only `separate`.

These are the transform of the models, the application of masks to a spectrum, torchaudio, and
cards.
"""

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from separate.backends.masking import apply_mask
from separate.backends.voice_map import VoiceFinder
from separate.models.registry import SEPARATORS, Card, find, list_cards, read_card, write_card
from separate.models.stft import StftConfig, istft, stft

__all__ = [
    "Card",
    "StftConfig",
    "VoiceFinder",
    "apply_mask",
    "cards_by_name",
    "istft",
    "model_cards",
    "read_card_file",
    "stft",
    "torchaudio",
    "write_card_file",
]


def cards_by_name() -> dict[str, Card]:
    """Return the cards of all separators that are on this machine, shipped ones first."""
    from separate.weights.store import models_dir

    cards = [card for card, _ in list_cards([models_dir()])]
    return {card.name: card for card in cards if card.kind in SEPARATORS}


def model_cards(names: str | Sequence[str]) -> list[Card]:
    """Return the cards of models given by name or path, comma-separated for an average.

    Raises:
        CheckpointError: There is no such model.
    """
    from separate.weights.store import models_dir

    parts = names.split(",") if isinstance(names, str) else names
    return [read_card(find(name.strip(), [models_dir()]).with_suffix(".json")) for name in parts]


def read_card_file(path: Path) -> Card:
    """Read a card.

    Raises:
        CheckpointError: It is missing or no card.
    """
    return read_card(path)


def write_card_file(data: dict[str, Any], path: Path) -> None:
    """Write a card's fields, atomically."""
    write_card(data, path)


def torchaudio() -> ModuleType:
    """Import torchaudio, also where its compiled extension cannot be loaded."""
    from separate.models.torchaudio_compat import torchaudio as module

    return module
