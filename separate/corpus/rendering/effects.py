"""What stands between an instrument and the record: filters, amplifiers, cabinets, rooms, choruses.

Everything takes and returns float32 `(channels, samples)` at 44.1 kHz and keeps the length.
"""

import numba
import numpy as np
from scipy import signal

from separate.corpus.sources.store import SAMPLE_RATE


def db(value: float) -> float:
    """Return a gain in dB as a factor."""
    return float(10 ** (value / 20))


def filtered(
    audio: np.ndarray, kind: str, hz: float | tuple[float, float], order: int = 2
) -> np.ndarray:
    """Return the audio through a Butterworth filter: highpass, lowpass, or bandpass."""
    sos = signal.butter(order, hz, kind, fs=SAMPLE_RATE, output="sos")
    return signal.sosfilt(sos, audio, axis=-1).astype(np.float32)


def peaking(audio: np.ndarray, hz: float, gain_db: float, q: float = 1.0) -> np.ndarray:
    """Return the audio through one bell of an equaliser."""
    return signal.sosfilt(_bell(hz, gain_db, q), audio, axis=-1).astype(np.float32)


def _bell(hz: float, gain_db: float, q: float) -> np.ndarray:
    """Return a bell filter as second-order section `(1, 6)`, after RBJ's cookbook."""
    amplitude = 10 ** (gain_db / 40)
    w = 2 * np.pi * hz / SAMPLE_RATE
    alpha = np.sin(w) / (2 * q)
    b = [1 + alpha * amplitude, -2 * np.cos(w), 1 - alpha * amplitude]
    a = [1 + alpha / amplitude, -2 * np.cos(w), 1 - alpha / amplitude]
    return np.array([[*b, *a]]) / a[0]


def tone(audio: np.ndarray, rng: np.random.Generator, spread_db: float = 4.0) -> np.ndarray:
    """Return the audio through a random equaliser of three bells, as an engineer might set it."""
    bells = []
    for low, high in ((80, 300), (400, 2000), (2500, 9000)):
        hz = float(np.exp(rng.uniform(np.log(low), np.log(high))))
        gain_db = float(np.clip(rng.normal(0, spread_db / 2), -spread_db, spread_db))
        bells.append(_bell(hz, gain_db, 0.8))
    return signal.sosfilt(np.concatenate(bells), audio, axis=-1).astype(np.float32)


def saturated(
    audio: np.ndarray, drive_db: float, bias: float = 0.15, oversampling: int = 2
) -> np.ndarray:
    """Return the audio through a tube-like curve, oversampled against aliases.

    Args:
        audio: `(channels, samples)`; its level matters, 0.1 RMS is usual.
        drive_db: Gain before the curve.
        bias: Asymmetry, 0 to 0.5; brings even harmonics.
        oversampling: How many times; high gain needs 4.
    """
    driven = signal.resample_poly(audio * np.float32(db(drive_db)), oversampling, 1, axis=-1)
    shaped = np.tanh(driven + np.float32(bias)) - np.float32(np.tanh(bias))
    result = signal.resample_poly(shaped, 1, oversampling, axis=-1)[..., : audio.shape[-1]]
    return filtered(result.astype(np.float32), "highpass", 25.0, 1)


def amplifier(audio: np.ndarray, rng: np.random.Generator, drive_db: float) -> np.ndarray:
    """Return an electric guitar through a random amplifier and cabinet.

    The pickup's mono signal is cut below, driven in one or two stages, and shaped by the
    loudspeaker; a clean amplifier (below 6 dB) bends it only a little.

    Args:
        audio: `(2, samples)` of the dry instrument.
        rng: Source of chance.
        drive_db: 0 clean, 20 crunch, 40 and above high gain.
    """
    mono = audio.mean(axis=0, keepdims=True)
    mono = mono * (0.12 / max(active_rms(mono), 1e-6))
    tight = float(rng.uniform(60, 110) + 4 * max(drive_db - 15, 0))
    mono = filtered(mono, "highpass", tight, 1)
    if drive_db > 25:
        mono = peaking(mono, float(rng.uniform(600, 1100)), float(rng.uniform(3, 8)), 0.6)
        mono = saturated(mono, drive_db * 0.5, float(rng.uniform(0, 0.3)), 4)
        mono = filtered(mono, "lowpass", float(rng.uniform(6000, 9000)), 1)
        mono = saturated(mono, drive_db * 0.5 - 4, float(rng.uniform(0, 0.2)), 4)
    else:
        mono = saturated(mono, drive_db, float(rng.uniform(0, 0.3)))
    mono = peaking(mono, float(rng.uniform(400, 800)), float(rng.uniform(-7, 3)), 0.7)
    return np.repeat(cabinet(mono, rng), 2, axis=0)


def cabinet(audio: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the audio through a loudspeaker box and a microphone before it, as a short filter."""
    hz = np.fft.rfftfreq(2048, 1 / SAMPLE_RATE) + 1e-3
    low, high = float(rng.uniform(70, 110)), float(rng.uniform(4200, 6500))
    response = 1 / np.sqrt(1 + (low / hz) ** 6) / np.sqrt(1 + (hz / high) ** 10)
    for center, gain_db, width in (
        (rng.uniform(95, 150), rng.uniform(1, 5), 0.35),
        (rng.uniform(350, 600), rng.uniform(-5, -1), 0.5),
        (rng.uniform(2000, 3400), rng.uniform(2, 8), 0.4),
    ):
        bell = np.exp(-0.5 * (np.log(hz / center) / width) ** 2)
        response = response * 10 ** (gain_db * bell / 20)
    ripple = rng.normal(0, 1.5, 64)  # what the box and the microphone's place add
    response = response * 10 ** (np.interp(np.log(hz), np.linspace(4, 10, 64), ripple) / 20)
    return _convolved(audio, minimum_phase(response)[None, :1024])


def minimum_phase(magnitude: np.ndarray) -> np.ndarray:
    """Return the impulse response of least delay with this magnitude (from the real cepstrum)."""
    log = np.log(np.maximum(magnitude, 1e-5))
    cepstrum = np.fft.irfft(log)
    half = len(cepstrum) // 2
    cepstrum[1:half] *= 2
    cepstrum[half + 1 :] = 0
    return np.fft.irfft(np.exp(np.fft.rfft(cepstrum))).astype(np.float32)


def room(
    rng: np.random.Generator, seconds: float, brightness_hz: float = 6000.0, near: bool = True
) -> np.ndarray:
    """Return a stereo room: early reflections and a diffuse tail whose treble dies first.

    Args:
        rng: Source of chance.
        seconds: Reverberation time (to -60 dB).
        brightness_hz: Where the treble has half of that time.
        near: With early reflections.

    Returns:
        float32 `(2, samples)` of unit energy a channel, without the direct sound.
    """
    samples = int(seconds * 1.1 * SAMPLE_RATE)
    time = np.arange(samples) / SAMPLE_RATE
    impulse = np.zeros((2, samples))
    for top, share in ((brightness_hz * 0.25, 1.15), (brightness_hz, 0.9), (18000, 0.45)):
        noise = rng.normal(0, 1, (2, samples)) * np.exp(-6.9 * time / (seconds * share))
        impulse += filtered(noise, "lowpass", float(min(top, 19000)), 1)
    delay = int(rng.uniform(0.002, 0.02) * SAMPLE_RATE)
    impulse = np.roll(impulse, delay, axis=1)
    impulse[:, :delay] = 0
    if near:
        for _ in range(8):
            at = int(rng.uniform(0.002, 0.035) * SAMPLE_RATE)
            if at < samples:
                impulse[:, at] += rng.normal(0, 6, 2)
    return (impulse / np.sqrt((impulse**2).sum(axis=1, keepdims=True))).astype(np.float32)


def with_room(audio: np.ndarray, impulse: np.ndarray, wet_db: float) -> np.ndarray:
    """Return stereo audio with a room's sound added at a level relative to the direct sound."""
    return audio + db(wet_db) * _convolved(audio, impulse)


def _convolved(audio: np.ndarray, impulse: np.ndarray) -> np.ndarray:
    wide = np.broadcast_to(impulse, (audio.shape[0], impulse.shape[1]))
    result = signal.oaconvolve(audio, wide, axes=-1)[:, : audio.shape[1]]
    return result.astype(np.float32)


def chorus(audio: np.ndarray, rng: np.random.Generator, depth: float = 0.5) -> np.ndarray:
    """Return stereo audio with two slowly wandering copies, different left and right."""
    time = np.arange(audio.shape[1])
    result = audio * (1 - 0.4 * depth)
    for channel in range(2):
        rate_hz, phase = rng.uniform(0.2, 1.2), rng.uniform(0, 2 * np.pi)
        base, swing = rng.uniform(0.008, 0.02), rng.uniform(0.001, 0.003)
        delay = base + swing * np.sin(2 * np.pi * rate_hz * time / SAMPLE_RATE + phase)
        position = np.maximum(time - delay * SAMPLE_RATE, 0)
        index = position.astype(np.int64)
        part = (position - index).astype(np.float32)
        line = np.append(audio[channel], 0)
        result[channel] += depth * (line[index] * (1 - part) + line[index + 1] * part)
    return result.astype(np.float32)


def echoes(audio: np.ndarray, seconds: float, feedback: float, wet_db: float) -> np.ndarray:
    """Return stereo audio with echoes that alternate left and right and lose treble."""
    result = audio.copy()
    wet = filtered(audio, "bandpass", (200.0, 4500.0), 1) * db(wet_db)
    step = max(1, int(seconds * SAMPLE_RATE))
    for turn in range(1, 6):
        start = step * turn
        if start >= audio.shape[1]:
            break
        wet = wet[::-1] * np.array([[1.0], [0.6]]) if turn % 2 else wet[::-1]
        result[:, start:] += (wet[:, : audio.shape[1] - start] * feedback ** (turn - 1)).astype(
            np.float32
        )
    return result


def compressed(
    audio: np.ndarray,
    threshold_db: float,
    ratio: float,
    attack: float = 0.01,
    release: float = 0.15,
    key: np.ndarray | None = None,
) -> np.ndarray:
    """Return audio through a compressor.

    Args:
        audio: `(channels, samples)`.
        threshold_db: Relative to the key's active RMS level.
        ratio: 1 and above.
        attack: Seconds.
        release: Seconds.
        key: What the compressor listens to, where it is not the audio: `(channels, samples)`.
    """
    return audio * compressor_gain(
        audio if key is None else key, threshold_db, ratio, attack, release
    )


def compressor_gain(
    key: np.ndarray, threshold_db: float, ratio: float, attack: float, release: float
) -> np.ndarray:
    """Return a compressor's gain, float32 `(samples,)`; to be shared by all stems of a bus."""
    level = np.abs(key).max(axis=0).astype(np.float32)
    threshold = active_rms(key) * 1.4 * db(threshold_db)
    coefficients = [float(np.exp(-1 / (time * SAMPLE_RATE))) for time in (attack, release)]
    envelope = _follow(level, coefficients[0], coefficients[1])
    over = np.maximum(envelope / max(threshold, 1e-7), 1.0)
    return (over ** (1 / ratio - 1)).astype(np.float32)


def limiter_gain(mixture: np.ndarray, ceiling: float, release: float = 0.08) -> np.ndarray:
    """Return the gain, float32 `(samples,)`, that keeps a mixture's peaks below a ceiling.

    It looks 2 ms ahead, so that it is down when the peak comes.
    """
    ahead = int(0.002 * SAMPLE_RATE)
    need = np.minimum(1.0, ceiling / np.maximum(np.abs(mixture).max(axis=0), 1e-7))
    padded = np.pad(need, (0, ahead), constant_values=1.0)
    least = np.lib.stride_tricks.sliding_window_view(padded, ahead + 1).min(axis=1)
    coefficient = float(np.exp(-1 / (release * SAMPLE_RATE)))
    return 1 - _follow((1 - least).astype(np.float32), 0.0, coefficient)


def side_chain_gain(times: np.ndarray, samples: int, depth: float, release: float) -> np.ndarray:
    """Return the gain of a pad that ducks at each kick, float32 `(samples,)`.

    Args:
        times: Seconds of the kicks.
        samples: Length of the result.
        depth: 0 not at all, 1 to silence.
        release: Seconds until it is back.
    """
    gain = np.ones(samples, dtype=np.float32)
    length = max(1, int(release * SAMPLE_RATE))
    dip = 1 - depth * (1 - np.linspace(0, 1, length) ** 1.5)
    for time in times:
        start = int(time * SAMPLE_RATE)
        stop = min(samples, start + length)
        if 0 <= start < stop:
            gain[start:stop] = np.minimum(gain[start:stop], dip[: stop - start])
    return signal.lfilter([0.02], [1, -0.98], gain - 1).astype(np.float32) + 1


def panned(audio: np.ndarray, position: float) -> np.ndarray:
    """Return stereo audio moved: -1 left, 0 as it is, 1 right, at constant power."""
    angle = (float(np.clip(position, -1, 1)) + 1) * np.pi / 4
    left, right = np.cos(angle) * np.sqrt(2), np.sin(angle) * np.sqrt(2)
    return audio * np.array([[left], [right]], dtype=np.float32)


def active_rms(audio: np.ndarray) -> float:
    """Return the RMS level where it sounds (frames within 30 dB of the loudest); 0 in silence."""
    mono = (audio**2).mean(axis=0)
    frame = 4096
    frames = mono[: len(mono) // frame * frame].reshape(-1, frame).mean(axis=1)
    if not len(frames) or frames.max() <= 1e-12:
        return float(np.sqrt(mono.mean())) if len(mono) else 0.0
    return float(np.sqrt(frames[frames > frames.max() * 1e-3].mean()))


@numba.njit(cache=True)
def _follow(level: np.ndarray, attack: float, release: float) -> np.ndarray:  # pragma: no cover
    envelope = np.empty_like(level)
    state = np.float32(0.0)
    for index in range(len(level)):
        value = level[index]
        coefficient = attack if value > state else release
        state = np.float32(value + coefficient * (state - value))
        envelope[index] = state
    return envelope
