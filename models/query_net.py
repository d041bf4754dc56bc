"""The embedded query net: text tower and audio tower over one space, and their file.

In: `<name>.safetensors` (float16, the text tower's table int8) with its card `<name>.json`.
Out: a `QueryNet` in float32.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save_file
from torch import Tensor, nn

from separate.models.audio_tower import AudioTower, AudioTowerConfig
from separate.models.errors import CheckpointError
from separate.models.text_tower import TextTower, TextTowerConfig


@dataclass(frozen=True)
class QueryNetConfig:
    """Sizes of both towers."""

    text: TextTowerConfig
    audio: AudioTowerConfig | None = None  # None: a net for text only

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "QueryNetConfig":
        """Read what a card's `config` holds."""
        audio = values.get("audio")
        return cls(TextTowerConfig(**values["text"]), AudioTowerConfig(**audio) if audio else None)

    def to_dict(self) -> dict[str, Any]:
        """Return what goes into a card's `config`."""
        return asdict(self)


class QueryNet(nn.Module):
    """Both towers: `text(phrases)` and `audio(waveform, sample_rate)` give unit vectors."""

    def __init__(self, config: QueryNetConfig) -> None:
        super().__init__()
        self.config = config
        self.text = TextTower(config.text)
        self.audio = AudioTower(config.audio) if config.audio else None

    @property
    def dim(self) -> int:
        """Length of the vectors."""
        return self.config.text.dim


def load_query_net(path: Path) -> tuple[QueryNet, dict[str, Any]]:
    """Load a query net strictly.

    Args:
        path: The `.safetensors` file; its card lies beside it with the ending `.json`.

    Returns:
        The net in evaluation mode, and its card.

    Raises:
        CheckpointError: A file is missing or damaged, or it is not the one that the card describes.
    """
    try:
        card = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        data = path.read_bytes()
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: weights or card cannot be read ({error})") from error
    if hashlib.sha256(data).hexdigest() != card.get("sha256"):
        raise CheckpointError(f"{path}: differs from its card; install or download it again")
    try:
        net = QueryNet(QueryNetConfig.from_dict(card["config"]))
        net.load_state_dict(load(data), strict=True)
    except (KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise CheckpointError(f"{path}: not a query net of this version ({error})") from error
    return net.eval(), card


def save_query_net(net: QueryNet, path: Path, card: Mapping[str, Any]) -> dict[str, Any]:
    """Write weights (float16 where they are float) and card.

    Args:
        net: The net.
        path: The `.safetensors` file to write; the card goes beside it.
        card: All that is not in the net: training data, licence, notices, seed, scores, limits.

    Returns:
        The complete card.
    """
    state = {name: _stored(value) for name, value in net.state_dict().items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(state, str(path))
    path.chmod(0o644)  # safetensors writes for the owner alone
    complete = {
        "name": path.stem,
        "kind": "query",
        "config": net.config.to_dict(),
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "text_sha256": _fingerprint(state, "text."),
        "parameters": sum(value.numel() for value in state.values()),
        **card,
    }
    text = json.dumps(complete, indent=2, ensure_ascii=False) + "\n"
    path.with_suffix(".json").write_text(text, encoding="utf-8")
    return complete


def _stored(value: Tensor) -> Tensor:
    half = value.half() if value.is_floating_point() else value
    return half.detach().cpu().contiguous()


def _fingerprint(state: Mapping[str, Tensor], prefix: str) -> str:
    """Hash one tower: a separator that was trained with a text tower needs exactly that one."""
    digest = hashlib.sha256()
    for name in sorted(name for name in state if name.startswith(prefix)):
        digest.update(name.encode())
        digest.update(state[name].view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
