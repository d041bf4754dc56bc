"""Read, write, resample and list sound files."""

from separate.audio.arrays import (
    CLIP_MODES,
    Resampler,
    apply_clip,
    find_audio,
    read_audio,
    resample,
    resampled_length,
    rescale_gain,
    write_audio,
)
from separate.audio.downmix import Downmix, to_mono
from separate.audio.info import AUDIO_EXTENSIONS, AudioInfo
from separate.audio.layout import channel_groups
from separate.audio.read import AudioReader, probe
from separate.audio.write import (
    FORMATS,
    SAMPLE_BYTES,
    AudioWriter,
    check_format,
    check_writable,
    output_subtype,
)

__all__ = [
    "AUDIO_EXTENSIONS",
    "CLIP_MODES",
    "FORMATS",
    "SAMPLE_BYTES",
    "AudioInfo",
    "AudioReader",
    "AudioWriter",
    "Downmix",
    "Resampler",
    "apply_clip",
    "channel_groups",
    "check_format",
    "check_writable",
    "find_audio",
    "output_subtype",
    "probe",
    "read_audio",
    "resample",
    "resampled_length",
    "rescale_gain",
    "to_mono",
    "write_audio",
]
