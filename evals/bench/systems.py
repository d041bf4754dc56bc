"""The systems that are timed side by side: our models and public networks, as one function each.

An opened system maps a mixture `(2, time)` at 44.1 kHz and a number of queries to nothing: it
separates in memory and drops the result. Speed does not depend on the values of the weights, so
the public networks run with random ones.
"""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from separate.errors import SettingsError

if TYPE_CHECKING:
    from torch import Tensor

SAMPLE_RATE = 44100  # Hz
QUERIES: tuple[str, ...] = ("vocals", "drums", "bass", "other")
_SEGMENT_SECONDS = 10.0  # of HDemucs: torchaudio's tutorial, overlap included
_OVERLAP_SECONDS = 0.1
_BLOCK_SECONDS = 10

Separate = Callable[[np.ndarray, int], None]  # mixture (2, time), number of queries


@dataclass(frozen=True)
class System:
    """One system to time."""

    name: str
    kind: str  # "separate", "hdemucs", "openunmix", "demucs"
    weights: str = "random"  # or "trained"
    queries: tuple[int, ...] = (4,)  # the numbers of queries that it is timed with
    package: str = ""  # distribution that it comes from, with its version once it is found


BASELINES = (
    System("hdemucs_high", "hdemucs", package="torchaudio"),
    System("open-unmix", "openunmix", package="openunmix"),
    System("htdemucs", "demucs", package="demucs"),
)


def our_systems(models: list[str] | None = None) -> list[System]:
    """Return the models named, or every separator on this machine.

    Raises:
        CheckpointError: A model named is not on this machine.
    """
    from separate.insides import cards_by_name, model_cards

    if models:
        found = [(model, model_cards(model)[0]) for model in models]
    else:
        found = list(cards_by_name().items())
    systems = []
    for name, card in found:
        most = len(card.stems) or 4
        queries = tuple(count for count in (1, 2, 4) if count <= most)
        systems.append(System(name, "separate", "trained", queries))
    return systems


def installed_baselines() -> list[System]:
    """Return the public networks whose packages are installed, with their versions."""
    from importlib.metadata import version

    return [
        replace(system, package=f"{system.package} {version(system.package)}")
        for system in BASELINES
        if importlib.util.find_spec(system.package) is not None
    ]


def open_system(system: System, threads: int) -> Separate:
    """Load a system.

    Args:
        system: The system to load.
        threads: Threads of torch.

    Raises:
        SettingsError: Its package is not installed.
        CheckpointError: Its weights are missing.
    """
    if system.kind == "separate":
        return _open_separate(system, threads)
    import torch

    from separate.insides import torchaudio

    torch.set_num_threads(threads)
    torchaudio()  # before openunmix or demucs import it by themselves
    try:
        network = _NETWORKS[system.kind]()
    except ImportError as error:
        raise SettingsError(
            f"{system.name} needs {error.name}: pip install 'separate-audio[bench]'"
        ) from error

    def separate(mixture: np.ndarray, queries: int) -> None:
        with torch.inference_mode():
            network(torch.from_numpy(mixture))

    return separate


def _open_separate(system: System, threads: int) -> Separate:
    from separate.insides import cards_by_name, model_cards
    from separate.open import open_separator
    from separate.settings import Settings

    settings = Settings(model=system.name, threads=threads, sum_to_mixture=True)
    separator = open_separator(settings)
    card = cards_by_name().get(system.name) or model_cards(system.name)[0]
    stems = tuple(card.stems) or QUERIES

    def separate(mixture: np.ndarray, queries: int) -> None:
        step = _BLOCK_SECONDS * SAMPLE_RATE
        blocks = (mixture[:, i : i + step] for i in range(0, mixture.shape[1], step))
        for _ in separator.stream(blocks, SAMPLE_RATE, mixture.shape[0], stems[:queries]):
            pass

    return separate


def _hdemucs() -> Callable:
    from separate.insides import torchaudio

    net = torchaudio().models.hdemucs_high(sources=list(QUERIES)).eval()
    return lambda mixture: overlap_add(lambda chunk: net(chunk)[0], mixture)


def _open_unmix() -> Callable:
    import openunmix

    net = openunmix.umxhq(pretrained=False, device="cpu").eval()
    return lambda mixture: net(mixture[None])


def _htdemucs() -> Callable:
    from demucs.apply import apply_model
    from demucs.htdemucs import HTDemucs

    net = HTDemucs(sources=list(QUERIES)).eval()
    return lambda mixture: apply_model(net, mixture[None], shifts=0, split=True, overlap=0.1)


_NETWORKS = {"hdemucs": _hdemucs, "openunmix": _open_unmix, "demucs": _htdemucs}


def overlap_add(separate: Callable, mixture: "Tensor") -> "Tensor":
    """Separate chunk by chunk with linear cross-fades, as torchaudio's HDemucs tutorial does.

    Args:
        separate: Maps `(1, channels, time)` to `(stems, channels, time)`.
        mixture: `(channels, time)` at 44.1 kHz.

    Returns:
        `(stems, channels, time)`.
    """
    import torch

    overlap = int(_OVERLAP_SECONDS * SAMPLE_RATE)
    step = int(_SEGMENT_SECONDS * SAMPLE_RATE)
    length = mixture.shape[1]
    total = torch.zeros(len(QUERIES), *mixture.shape)
    fade = torch.linspace(0, 1, overlap)
    for start in range(0, length, step):
        chunk = mixture[:, start : start + step + overlap]
        result = separate(chunk[None])
        if start > 0:
            result[..., :overlap] *= fade[: result.shape[-1]]
        if start + step < length:
            result[..., step:] *= 1 - fade[: result.shape[-1] - step]
        total[..., start : start + chunk.shape[1]] += result
    return total
