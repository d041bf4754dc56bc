"""A separator from settings: the device is checked, the models are loaded by name or path."""

from typing import TYPE_CHECKING

from separate.errors import SettingsError
from separate.memory import keep_memory
from separate.settings import Settings

if TYPE_CHECKING:
    from separate.separator import Separator


def open_separator(settings: Settings) -> "Separator":
    """Load a separator.

    Raises:
        SettingsError: This machine has no such device.
        CheckpointError: A model is missing or damaged.
    """
    keep_memory()
    import torch

    from separate.separator import Separator

    kind, _, number = settings.device.partition(":")
    found = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": _count_mps()}[kind]
    if int(number or 0) >= found:
        raise SettingsError(f"--device {settings.device}: not on this machine; use --device cpu")
    return Separator(settings)


def _count_mps() -> int:
    import torch

    return int(torch.backends.mps.is_available())


def cards_sha256(models: str) -> str:
    """Return the hashes of models given by name or path, comma-separated, from their cards.

    A model of fixed stems uses the query model too: its hash is added.
    """
    from separate.backends.nets import QUERY_MODEL
    from separate.insides import model_cards

    cards = model_cards(models)
    if any(card.stems for card in cards):
        cards += model_cards(QUERY_MODEL)
    return ",".join(card.sha256 for card in cards)
