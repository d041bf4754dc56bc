"""Checkpoints with their cards: `<name>.safetensors` beside `<name>.json`.

In: a name or a path. Out: a module with its weights, and its card. Listing reads only cards;
loading is strict and executes nothing from a file.

On disk a tensor may be float32, float16, or int8 with one float16 scale per row (stored
as `<tensor>` and `<tensor>@scale`); in use all are float32.
"""

import hashlib
import json
import uuid
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from separate.models.errors import CheckpointError
from separate.models.hdemucs import HDemucs, HDemucsConfig
from separate.models.ibm_cnn import IbmCnn, IbmCnnConfig
from separate.models.query_unet import QueryUNet, QueryUNetConfig
from separate.models.spleeter import Spleeter, SpleeterConfig
from separate.models.unet import SmallUNet, UNetConfig

SHIPPED = Path(__file__).parent / "weights"
_KINDS: dict[str, tuple[type[nn.Module], type]] = {
    "query-unet": (QueryUNet, QueryUNetConfig),
    "small-unet": (SmallUNet, UNetConfig),
    "ibm-cnn": (IbmCnn, IbmCnnConfig),
    "spleeter": (Spleeter, SpleeterConfig),
    "hdemucs": (HDemucs, HDemucsConfig),
}
SEPARATORS = tuple(_KINDS)  # kinds that separate; others embed or tag
# Keys of old cards that no longer change the network, by kind.
_OBSOLETE = {"query-unet": ("last_channels", "window_share")}
_SCALE = "@scale"
_LARGE = 4096  # tensors of at least so many numbers are stored with reduced precision


@dataclass(frozen=True)
class Card:
    """The description of a set of weights."""

    name: str
    kind: str  # what `build` makes of its configuration: "query-unet", "spleeter" ...
    summary: str  # one line for the list of models
    config: dict[str, Any]  # the architecture's configuration
    licence: str  # of the weights, an SPDX name
    query_encoder: str | None = None  # the encoder whose vectors condition it
    stems: tuple[str, ...] = ()  # fixed stems, or none: any query
    sha256: str = ""  # of the safetensors file
    parameters: int = 0
    initialised_from: str = ""
    notices: tuple[str, ...] = ()  # licences of others that must travel with it
    trained_on: tuple[dict[str, Any], ...] = ()  # dataset, split, songs, licence, hours
    seed: int | None = None
    scores: dict[str, Any] = field(default_factory=dict)
    limits: str = ""
    url: str = ""
    extra: dict[str, Any] = field(default_factory=dict)


def build(kind: str, config: dict[str, Any]) -> nn.Module:
    """Build a kind of model, with random weights, from a card's configuration.

    Raises:
        CheckpointError: The kind is unknown, or the configuration does not fit it.
    """
    if kind not in _KINDS:
        raise CheckpointError(f"unknown kind of model {kind!r}; update the program")
    module, configuration = _KINDS[kind]
    try:
        # A card is JSON, which has lists only.
        values = {k: tuple(v) if isinstance(v, list) else v for k, v in config.items()}
        for key in _OBSOLETE.get(kind, ()):
            values.pop(key, None)
        return module(configuration(**values))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"the configuration is not one of {kind!r} ({error})") from error


def kind_of(module: nn.Module) -> str:
    """Return the kind of a network that separates."""
    return next(kind for kind, (made, _) in _KINDS.items() if type(module) is made)


def config_of(module: nn.Module) -> dict[str, Any]:
    """Return the configuration of a network that separates, for its card."""
    config: Any = module.config
    return asdict(config)


def list_cards(folders: Iterable[Path] = ()) -> list[tuple[Card, Path]]:
    """Read the cards of the shipped weights and of some folders; damaged cards are skipped.

    Returns:
        (card, path of its safetensors file), shipped ones first, each name once.
    """
    found: dict[str, tuple[Card, Path]] = {}
    for folder in (SHIPPED, *folders):
        for path in sorted(Path(folder).glob("*.json")):
            weights = path.with_suffix(".safetensors")
            try:
                card = read_card(path)
            except CheckpointError:
                continue
            if weights.is_file():
                found.setdefault(card.name, (card, weights))
    return list(found.values())


def find(name: str, folders: Iterable[Path] = ()) -> Path:
    """Return the safetensors file of a model given by name or path.

    Raises:
        CheckpointError: There is none; the message lists what there is.
    """
    if name.endswith(".safetensors"):
        if not Path(name).is_file():
            raise CheckpointError(f"{name}: no such file; give the path of a .safetensors model")
        return Path(name)
    cards = {card.name: path for card, path in list_cards(folders) if card.kind in SEPARATORS}
    if name in cards:
        return cards[name]
    raise CheckpointError(
        f"no model {name!r} here: take one of {', '.join(sorted(cards)) or 'none'}, the path of a"
        " .safetensors file, or see `separate models get`"
    )


def read_card(path: Path) -> Card:
    """Read one card.

    Raises:
        CheckpointError: It is missing or no card.
    """
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
        known = {key: data[key] for key in Card.__dataclass_fields__ if key in data}
        for key in ("stems", "notices", "trained_on"):
            known[key] = tuple(known.get(key, ()))
        return Card(**known)
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{path}: the model's card is missing; put it beside the weights"
        ) from error
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path}: not a model card ({error})") from error


def load(path: Path, device: torch.device | str = "cpu") -> tuple[nn.Module, Card]:
    """Build a model and load its weights, strictly.

    Args:
        path: The `.safetensors` file; its card lies beside it.
        device: Where the module goes.

    Returns:
        The module in evaluation mode, without gradients, and its card.

    Raises:
        CheckpointError: Card or weights are missing, damaged, or do not fit each other.
    """
    path = Path(path)
    card = read_card(path.with_suffix(".json"))
    module = build(card.kind, card.config)
    try:
        module.load_state_dict(read_state(path), strict=True)
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise CheckpointError(f"{path}: weights and card do not fit ({reason})") from error
    if not _built_with(path, card.config):
        raise CheckpointError(f"{path}: weights and card do not fit (of another configuration)")
    if card.sha256 and hashlib.sha256(path.read_bytes()).hexdigest() != card.sha256:
        raise CheckpointError(f"{path}: differs from its card; install or download it again")
    return module.to(device).eval().requires_grad_(False), card


def _built_with(path: Path, config: dict[str, Any]) -> bool:
    """Return whether the configuration noted in a file, where there is one, is the card's."""
    with safe_open(path, framework="pt") as file:
        note = file.metadata()
    try:
        return note is None or json.loads(note["config"]) == config
    except (KeyError, ValueError):
        return False


def read_state(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file as float32 tensors.

    Raises:
        CheckpointError: The file is missing, truncated, or of another format.
    """
    try:
        raw = load_file(path)
    except (OSError, SafetensorError, ValueError) as error:
        raise CheckpointError(f"{path}: not a readable .safetensors file ({error})") from error
    state: dict[str, Tensor] = {}
    for name, tensor in raw.items():
        if name.endswith(_SCALE):
            continue
        if tensor.dtype == torch.int8:
            if name + _SCALE not in raw:
                raise CheckpointError(f"{path}: tensor {name!r} lacks its scale; fetch it again")
            tensor = tensor.float() * raw[name + _SCALE].float()
        state[name] = tensor.float() if tensor.is_floating_point() else tensor
    return state


def save(
    module_or_state: nn.Module | dict[str, Tensor], card: Card, path: Path, *, precision: str
) -> Card:
    """Write weights and card, each under a temporary name first.

    Args:
        module_or_state: What to store.
        card: Its card; `sha256` and `parameters` are filled in.
        path: The `.safetensors` file; the card goes beside it.
        precision: "float32", "float16" or "int8" for large tensors; small ones stay float32.

    Returns:
        The completed card.
    """
    if isinstance(module_or_state, nn.Module):
        state: dict[str, Tensor] = module_or_state.state_dict()
    else:
        state = module_or_state
    stored: dict[str, Tensor] = {}
    for name, tensor in state.items():
        stored.update(_reduced(name, tensor.detach().cpu(), precision))
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        contiguous = {name: tensor.contiguous() for name, tensor in stored.items()}
        built_with = {"config": json.dumps(card.config)}  # so that the hash changes with it
        save_file(contiguous, temporary, built_with)
        digest = hashlib.sha256(temporary.read_bytes()).hexdigest()
        parameters = sum(t.numel() for t in state.values() if t.is_floating_point())
        data = {**asdict(card), "sha256": digest, "parameters": parameters}
        temporary.chmod(0o644)  # safetensors makes files that only their owner can read
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    write_card(data, path.with_suffix(".json"))
    return read_card(path.with_suffix(".json"))


def write_card(data: dict[str, Any], path: Path) -> None:
    """Write a card's fields as JSON, atomically."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    temporary.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    temporary.replace(path)


def _reduced(name: str, tensor: Tensor, precision: str) -> dict[str, Tensor]:
    if not tensor.is_floating_point() or tensor.numel() < _LARGE or precision == "float32":
        return {name: tensor}
    if precision == "float16":
        return {name: tensor.half()}
    if precision != "int8":
        raise ValueError(f"unknown precision {precision!r}; take float32, float16 or int8")
    others = list(range(1, tensor.dim()))
    scale = (tensor.abs().amax(dim=others, keepdim=True) / 127).clamp_min(1e-6).half()
    rounded = (tensor / scale.float()).round().clamp(-127, 127).to(torch.int8)
    return {name: rounded, name + _SCALE: scale}
