"""What is timed side by side: our models and public networks behind one call.

In: a `Contestant` and threads. Out: a function from a mixture `(2, time)` at 44.1 kHz and a number
of queries to nothing: it separates in memory and drops the result. Speed does not depend on what
the weights say, so the public networks run with random ones.
"""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from separate.errors import SettingsError

SAMPLE_RATE = 44100  # Hz
QUERIES = ("vocals", "drums", "bass", "other")
_SEGMENT_SECONDS = 10.0  # of HDemucs: torchaudio's tutorial, overlap included
_OVERLAP_SECONDS = 0.1
_BLOCK_SECONDS = 10

Separate = Callable[[np.ndarray, int], None]  # mixture (2, time), number of queries


@dataclass(frozen=True)
class Contestant:
    """One system to time."""

    name: str
    kind: str  # "separate", "hdemucs", "openunmix", "demucs"
    weights: str = "random"  # or "trained"
    queries: tuple[int, ...] = (4,)  # numbers of queries that it can be asked for
    package: str = ""  # distribution and version that it comes from


RIVALS = (
    Contestant("hdemucs_high", "hdemucs", package="torchaudio"),
    Contestant("open-unmix", "openunmix", package="openunmix"),
    Contestant("htdemucs", "demucs", package="demucs"),
)


def our_contestants(models: list[str] | None = None) -> list[Contestant]:
    """Return our models as contestants: those named, or every separator on this machine.

    Without any trained weights, the default architecture with random ones.

    Raises:
        CheckpointError: A model named is not here.
    """
    from separate.insides import cards_by_name, model_cards

    if models:
        found = [(model, model_cards(model)[0]) for model in models]
    else:
        found = list(cards_by_name().items())
    contestants = []
    for name, card in found:
        most = len(card.stems) or 4
        numbers = tuple(number for number in (1, 2, 4) if number <= most)
        contestants.append(Contestant(name, "separate", "trained", numbers))
    return contestants or [Contestant("default", "separate", "random", (1, 2, 4))]


def rival_contestants() -> list[Contestant]:
    """Return the public networks whose packages are installed, with their versions."""
    from importlib.metadata import version

    found = []
    for rival in RIVALS:
        if importlib.util.find_spec(rival.package) is not None:
            package = f"{rival.package} {version(rival.package)}"
            found.append(Contestant(rival.name, rival.kind, rival.weights, (4,), package))
    return found


def open_contestant(contestant: Contestant, threads: int) -> Separate:
    """Load a contestant.

    Args:
        contestant: Which.
        threads: Of torch.

    Raises:
        SettingsError: Its package is not installed.
        CheckpointError: Its weights are missing.
    """
    openers = {
        "separate": _open_separate,
        "hdemucs": _open_hdemucs,
        "openunmix": _open_unmix,
        "demucs": _open_demucs,
    }
    try:
        return openers[contestant.kind](contestant, threads)
    except ImportError as error:
        raise SettingsError(
            f"{contestant.name} needs {error.name}: pip install 'separate-audio[bench]'"
        ) from error


def _open_separate(contestant: Contestant, threads: int) -> Separate:
    from separate.insides import cards_by_name, model_cards, random_model
    from separate.open import open_separator
    from separate.settings import Settings

    settings = Settings(model=contestant.name, threads=threads, share=True)
    if contestant.weights == "random":
        separator, stems = random_model(settings), QUERIES
    else:
        separator = open_separator(settings)
        cards = cards_by_name()
        card = cards.get(contestant.name) or model_cards(contestant.name)[0]
        stems = tuple(card.stems) or QUERIES

    def separate(mixture: np.ndarray, queries: int) -> None:
        step = _BLOCK_SECONDS * SAMPLE_RATE
        blocks = (mixture[:, i : i + step] for i in range(0, mixture.shape[1], step))
        for _ in separator.stream(blocks, SAMPLE_RATE, mixture.shape[0], stems[:queries]):
            pass

    return separate


def _open_hdemucs(contestant: Contestant, threads: int) -> Separate:
    import torch

    torch.set_num_threads(threads)

    from separate.insides import torchaudio

    net = torchaudio().models.hdemucs_high(sources=list(QUERIES)).eval()

    def separate(mixture: np.ndarray, queries: int) -> None:
        with torch.inference_mode():
            overlap_add(lambda chunk: net(chunk)[0], torch.from_numpy(mixture))

    return separate


def overlap_add(separate: Callable, mixture: "object") -> "object":
    """Separate chunk by chunk with linear cross-fades, as torchaudio's HDemucs tutorial does.

    Args:
        separate: Maps `(1, channels, time)` to `(stems, channels, time)`.
        mixture: Tensor `(channels, time)` at 44.1 kHz.

    Returns:
        Tensor `(stems, channels, time)`.
    """
    import torch

    assert isinstance(mixture, torch.Tensor)
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


def _open_unmix(contestant: Contestant, threads: int) -> Separate:
    import torch

    torch.set_num_threads(threads)

    from separate.insides import torchaudio

    torchaudio()  # before openunmix imports it by itself
    import openunmix

    net = openunmix.umxhq(pretrained=False, device="cpu").eval()

    def separate(mixture: np.ndarray, queries: int) -> None:
        with torch.inference_mode():
            net(torch.from_numpy(mixture)[None])

    return separate


def _open_demucs(contestant: Contestant, threads: int) -> Separate:
    import torch

    torch.set_num_threads(threads)

    from separate.insides import torchaudio

    torchaudio()
    from demucs.apply import apply_model
    from demucs.htdemucs import HTDemucs

    net = HTDemucs(sources=list(QUERIES)).eval()

    def separate(mixture: np.ndarray, queries: int) -> None:
        with torch.inference_mode():
            apply_model(net, torch.from_numpy(mixture)[None], shifts=0, split=True, overlap=0.1)

    return separate
