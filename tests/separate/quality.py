"""SDR of each backend on the bundled example, and wrong masks that must change it.

In: the example, its true stems (`tests/data/stems`) and the name of a backend. Out: dB by source.

The default model runs with its own weights. No weights of the other backends are shipped: there an
oracle stands for the network and gives what a perfect one would, so that all that comes after the
network is measured: masks, their normalisation, the inverse transform, the stream, the routing.

Record the values again after a change that is meant to alter them:

    python tests/separate/quality.py

Cut the stems again: `separate data example --out demo.ogg --stems FOLDER`, then
`python tests/separate/quality.py --stems FOLDER`.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
import torch
from torch import Tensor, nn

from separate import Separator, Settings, example_path, read_audio
from separate.backends.nets import open_model, wrap
from separate.models.bands import to_bands
from separate.models.hdemucs import HDemucs, HDemucsConfig
from separate.models.ibm_cnn import IbmCnn, IbmCnnConfig
from separate.models.registry import Card
from separate.models.spleeter import Spleeter, SpleeterConfig
from separate.models.unet import SmallUNet, UNetConfig
from separate.queries.encoders import load_encoder
from separate.queries.query import Query

DATA = Path(__file__).resolve().parents[1] / "data"
RECORDED = DATA / "quality.json"
TOLERANCE_DB = 0.05
RATE = 44_100
STEMS = ("vocals", "drums", "bass", "other")
SOUND = "clock tick"
SECONDS = 6 * 4 * 60 / 112  # six bars of the example
ORACLE_SECONDS = 5.0
LEAK = 0.2  # of everything else in each stem that the waveform oracle returns
WRONG = ("constant", "stems swapped", "channels swapped", "one frame late", "one channel")
SWAPPED = "estimates' channels swapped"
ONE_MASK = (
    "default",
    "default, summed to the mixture",
    "binary mask",
)  # (nearly) for both channels

_KNOWN: dict[float, Tensor] = {}  # the shipped model's masks, found once a process

# Changes outputs (outputs, channels, frames, ...), which are masks, or waveforms of a mixture.
Corrupt = Callable[[Tensor, Tensor | None], Tensor]
Sounds = dict[str, np.ndarray]  # by source, (2, samples) each
Found = tuple[Sounds, Sounds]  # estimates and truth


def example(seconds: float = SECONDS) -> tuple[np.ndarray, Sounds]:
    """Return the example's mixture and its true stems, float32 `(2, samples)` each."""
    samples = round(seconds * RATE)
    stems = {name: _read(DATA / "stems" / f"{name}.ogg")[:, :samples] for name in STEMS}
    return _read(example_path())[:, :samples], stems


@cache
def _read(path: Path) -> np.ndarray:
    return read_audio(path)[0]


def ticks(samples: int) -> np.ndarray:
    """Return a loud clock at the left: two ringing ticks a second, `(2, samples)`."""
    ring = np.arange(5000) / RATE
    tick = sum(np.sin(2 * np.pi * hz * ring) for hz in (2500, 4100, 6300)) * np.exp(-441 * ring)
    sound = np.zeros(samples)
    for start in range(1000, samples - len(ring), RATE // 2):
        sound[start : start + len(ring)] += tick
    sound *= 0.2 / np.sqrt(np.mean(sound**2))
    return np.stack([sound, 0.1 * sound]).astype(np.float32)


def sdr(reference: np.ndarray, estimate: np.ndarray) -> float:
    """Return 10 log10(|s|^2 / |s - e|^2) over all samples and channels, in dB."""
    error = np.square(reference.astype(np.float64) - estimate).sum()
    return float(10 * np.log10(np.square(reference.astype(np.float64)).sum() / error))


def wrong(kind: str, hop: int = 1) -> Corrupt:
    """Return what makes masks wrong, or waveforms of `hop` samples a frame with their mixture."""

    def corrupt(outputs: Tensor, mixture: Tensor | None = None) -> Tensor:
        if kind == "constant":
            whole = torch.ones_like(outputs) if mixture is None else mixture.expand_as(outputs)
            return 0.25 * whole
        if kind == "stems swapped":
            return outputs.roll(1, dims=0)
        if kind == "channels swapped":
            return outputs.flip(1)
        if kind == "one frame late":
            return outputs.roll(hop, dims=2)
        assert kind == "one channel"
        return torch.stack([outputs[:, 0], torch.zeros_like(outputs[:, 0])], dim=1)

    return corrupt


def right(outputs: Tensor, mixture: Tensor | None = None) -> Tensor:
    """Change nothing."""
    return outputs


class Oracle:
    """Knows the true stems of each window of the example; windows come in order."""

    def __init__(self, stems: list[np.ndarray], rate: int = RATE) -> None:
        resampled = [soxr.resample(stem.T, RATE, rate).T for stem in stems]
        self.stems = torch.from_numpy(np.stack(resampled).astype(np.float32))
        self.start = self.step = 0

    def waveforms(self, samples: int) -> Tensor:
        """Return `(stems, 2, samples)` of the next window, with zeros after the end."""
        window = self.stems[..., self.start : self.start + samples]
        self.start += self.step
        return nn.functional.pad(window, (0, samples - window.shape[-1]))

    def magnitudes(self, frames: int, hop: int = 1024, size: int = 4096) -> Tensor:
        """Return `(stems, 2, frames, size // 2 + 1)` of the next window."""
        sound = self.waveforms((frames - 1) * hop).flatten(0, 1)
        window = torch.hann_window(size)
        spectrum = torch.stft(
            sound, size, hop, window=window, pad_mode="constant", return_complex=True
        )
        return spectrum.abs().transpose(1, 2).unflatten(0, self.stems.shape[:2])


def mask_after(model: Any, corrupt: Corrupt, known: dict[float, Tensor] | None = None) -> None:
    """Put a change behind the masks of a mask model.

    Args:
        model: Its method `mask` is replaced.
        corrupt: The change.
        known: Masks that were found before, by the sum of the magnitudes; filled here.
    """
    original, known = type(model).mask, {} if known is None else known

    def mask(magnitude: Tensor, wanted: list[object]) -> list[Callable[[slice], Tensor]]:
        key = float(magnitude.sum()) + len(wanted)
        if key not in known:
            found = [each(slice(None)) for each in original(model, magnitude, wanted)]
            known[key] = torch.stack([each.expand(2, -1, -1) for each in found])
        return [lambda frames, each=each: each[:, frames] for each in corrupt(known[key], None)]

    model.mask = mask


def _card(kind: str) -> Card:
    return Card("oracle", kind, "", {}, "", query_encoder="embedded", sha256="0" * 64)


def _separated(
    model: Any, mixture: np.ndarray, queries: Sequence[str | Query], settings: Settings
) -> Sounds:
    separator = Separator(settings, models=[model])
    result = separator.separate(mixture, RATE, queries)
    return {name: estimate.numpy() for name, estimate in result.estimates.items()}


def default(corrupt: Corrupt) -> Found:
    """The shipped model: stems of the example, and a sound mixed into it."""
    mixture, truth = example()
    found = _by_default(corrupt, mixture, STEMS[:3], sums=False)
    mixture, other_truth = with_sound()
    found |= _by_default(corrupt, mixture, [SOUND], sums=False)
    return found, truth | {SOUND: other_truth[SOUND]}


def summed(corrupt: Corrupt) -> Found:
    """The shipped model, where the estimates sum to the mixture; here each stem has its side."""
    _, truth = example(ORACLE_SECONDS)
    for name, gains in zip(STEMS, ((1, 0.2), (0.2, 1), (1, 0.5), (0.5, 1)), strict=True):
        truth[name] = truth[name] * np.array(gains, np.float32)[:, None]
    mixture = np.sum(list(truth.values()), axis=0)
    return _by_default(corrupt, mixture, STEMS, sums=True), truth


def _by_default(corrupt: Corrupt, mixture: np.ndarray, names: Sequence[str], sums: bool) -> Sounds:
    settings = Settings(threads=1, sum_to_mixture=sums)
    model = _default_model(settings)
    mask_after(model, corrupt, _KNOWN)
    return _separated(model, mixture, names, settings)


@cache
def _default_model(settings: Settings) -> Any:
    return open_model("default", settings)


def with_sound() -> tuple[np.ndarray, Sounds]:
    mixture, truth = example(ORACLE_SECONDS)
    truth[SOUND] = ticks(mixture.shape[1])
    mixture = mixture + truth[SOUND]
    truth["other"] = mixture - truth["vocals"] - truth["drums"] - truth["bass"]
    return mixture, truth


def _spleeter(corrupt: Corrupt, settings: Settings) -> tuple[Any, np.ndarray, dict]:
    mixture, truth = with_sound()
    oracle = Oracle([truth[name] for name in STEMS])
    cascade = _spleeter_model(settings)
    oracle.step = cascade.segmentation(settings).step_samples
    source = cascade.source
    source.net = lambda magnitude: oracle.magnitudes(magnitude.shape[2])[None, ..., :1024]
    mask_after(source, corrupt)
    return cascade, mixture, truth


@cache
def _spleeter_model(settings: Settings) -> Any:
    with torch.device("meta"):  # its weights are never read
        return wrap(Spleeter(SpleeterConfig(STEMS)), _card("spleeter"), settings)


def _names(corrupt: Corrupt) -> list[str]:
    """Return the stems, and the sound where masks are right: it passes the stem model by."""
    return [*STEMS[:3], *([SOUND] if corrupt is right else [])]


def spleeter(corrupt: Corrupt) -> Found:
    """Spleeter's Wiener masks of the true magnitudes; the sound by the query model beside it."""
    settings = Settings(threads=1, segment=3)
    cascade, mixture, truth = _spleeter(corrupt, settings)
    return _separated(cascade, mixture, _names(corrupt), settings), truth


def cascade(corrupt: Corrupt) -> Found:
    """What is finer than a stem is taken from it by the query model; the last is the rest."""
    settings = Settings(threads=1, segment=3, sum_to_mixture=True)
    model, mixture, truth = _spleeter(corrupt, settings)
    finer = "female singer" if corrupt is right else "vocals"  # quicker: without the query model
    names = [finer, "drums", "bass", "other instruments"]
    found = _separated(model, mixture, names, settings)
    named = dict(zip(STEMS, found.values(), strict=True))
    return named, truth


def small(corrupt: Corrupt) -> Found:
    """The small U-Net: ratio masks of the true powers in bands, mono."""
    settings = Settings(threads=1, segment=3)
    mixture, truth = with_sound()
    truth["other"] = truth["other"] - truth[SOUND]
    names = [*STEMS, SOUND]
    vectors = load_encoder("embedded").embed_text(names)
    net = SmallUNet(UNetConfig(widths=(2, 2, 2, 2, 2, 2), film_dim=2))
    model = wrap(net, _card("small-unet"), settings)
    oracle = Oracle([truth[name] for name in names])
    oracle.step = model.segmentation(settings).step_samples

    def encode(magnitude: Tensor) -> Tensor:
        power = to_bands(oracle.magnitudes(magnitude.shape[2])).square() + 1e-9
        return (power / power.sum(0)).logit(1e-6)[:, :, None]

    net.encode = encode
    net.decode = lambda logits, rows: logits[int((vectors @ rows[0]).argmax())]
    mask_after(model, corrupt)
    return _separated(model, mixture, [*STEMS[:3], SOUND], settings), truth


def binary(corrupt: Corrupt) -> Found:
    """The CNN of the ideal binary mask: the true likelihood of the voice at 16,000 Hz, mono."""
    settings = Settings(threads=1, segment=3)
    mixture, truth = with_sound()
    truth["accompaniment"] = mixture - truth["vocals"]
    net = IbmCnn(IbmCnnConfig(channels=2, maps=1, hidden=2)).eval()
    model = wrap(net, _card("ibm-cnn"), settings)
    oracle = Oracle([truth["vocals"], truth["accompaniment"]], model.sample_rate)
    oracle.step = model.segmentation(settings).step_samples

    def likelihood(magnitude: Tensor) -> Tensor:
        power = oracle.magnitudes(magnitude.shape[1], 256, 1024).mean(1).square() + 1e-9
        return (power[0] / power.sum(0))[None]

    net.forward = likelihood
    mask_after(model.source, corrupt)
    both = [Query(stem, (stem,)) for stem in ("vocals", "accompaniment")]
    return _separated(model, mixture, both, settings), truth


class _LeakyStems(nn.Module):
    """Returns the true stems of a window, each with a part of all the others."""

    def __init__(self, oracle: Oracle, corrupt: Corrupt) -> None:
        super().__init__()
        self.oracle, self.corrupt = oracle, corrupt

    def forward(self, mixture: Tensor) -> Tensor:
        stems = self.oracle.waveforms(mixture.shape[-1])
        stems = stems + LEAK * (stems.sum(0) - stems)
        return self.corrupt(stems, mixture)[None]


def waveform(corrupt: Corrupt) -> Found:
    """Stems as Hybrid Demucs gives them: the SDR is that of a known leak."""
    settings = Settings(threads=1, segment=3)
    mixture, truth = with_sound()
    config = HDemucsConfig(channels=4)
    net = HDemucs(config).eval()
    model = wrap(net, _card("hdemucs"), settings)
    oracle = Oracle([truth[name] for name in config.stems])
    oracle.step = model.segmentation(settings).step_samples
    net.net = _LeakyStems(oracle, corrupt)
    return _separated(model, mixture, _names(corrupt), settings), truth


BACKENDS: dict[str, Callable[[Corrupt], Found]] = {
    "default": default,
    "default, summed to the mixture": summed,
    "spleeter": spleeter,
    "cascade": cascade,
    "small": small,
    "binary mask": binary,
    "hdemucs": waveform,
}


def measure(backend: str, kind: str | None = None) -> dict[str, float]:
    """Return the SDR of each source in dB, with right masks or wrong ones."""
    hop = 1024 if backend == "hdemucs" else 1
    swaps = kind == SWAPPED
    with torch.inference_mode():
        found, truth = BACKENDS[backend](wrong(kind, hop) if kind and not swaps else right)
    return {name: sdr(truth[name], x[::-1] if swaps else x) for name, x in found.items()}


def recorded(backend: str) -> dict[str, float]:
    """Return the SDR of each source as it was recorded, in dB."""
    return json.loads(RECORDED.read_text())["sdr_db"][backend]


def check_quality(backend: str, found: dict[str, float]) -> None:
    """Fail where a source's SDR is not the recorded one."""
    expected = recorded(backend)
    off = {
        name: (round(value, 2), expected[name])
        for name, value in found.items()
        if not abs(value - expected[name]) <= TOLERANCE_DB
    }
    assert not off, f"{backend}: (SDR, recorded SDR) in dB: {off}"


def cut_stems(folder: Path) -> None:
    """Write the beginning of the example's stems as small Ogg Vorbis files."""
    for name in STEMS:
        stem, rate = soundfile.read(folder / f"{name}.wav", frames=round(SECONDS * RATE))
        (DATA / "stems").mkdir(parents=True, exist_ok=True)
        path = DATA / "stems" / f"{name}.ogg"
        with soundfile.SoundFile(path, "w", rate, 2, compression_level=0.7) as file:
            for start in range(0, len(stem), rate):  # libsndfile's Vorbis wants blocks
                file.write(stem[start : start + rate])


def main() -> None:
    """Record the SDR of every backend."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--stems", type=Path, help="cut the stems of this folder first")
    folder = parser.parse_args().stems
    if folder:
        cut_stems(folder)
    scores = {
        backend: {name: round(value, 2) for name, value in measure(backend).items()}
        for backend in BACKENDS
    }
    text = {"command": "python tests/separate/quality.py", "sdr_db": scores}
    RECORDED.write_text(json.dumps(text, indent=1) + "\n")


if __name__ == "__main__":
    main()
