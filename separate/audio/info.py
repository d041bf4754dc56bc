"""Detect what kind of file it is by its first bytes.

This happens before any decoder opens the file, so that neither a name nor misleading content
chooses the decoder.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from separate.audio.mp3 import find_first_frame, id3_end
from separate.errors import InputError

MIN_SAMPLE_RATE, MAX_SAMPLE_RATE = 1, 768_000  # Hz; headers outside are taken for damaged
MAX_CHANNELS = 64

AUDIO_EXTENSIONS = frozenset({
    ".wav", ".wave", ".w64", ".rf64", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".mp2", ".aiff",
    ".aif", ".aifc", ".au", ".caf", ".m4a", ".m4b", ".aac", ".ac3", ".eac3", ".amr", ".ape",
    ".wv", ".tta", ".mpc", ".wma", ".dts", ".mp4", ".m4v", ".mov", ".3gp", ".mkv", ".mka",
    ".webm", ".weba", ".ogv", ".ogx", ".spx", ".avi", ".divx", ".wmv", ".asf", ".flv", ".f4v",
    ".f4a", ".ts", ".mts", ".m2ts", ".m2t", ".mpg", ".mpeg", ".mpga", ".mp1", ".mpa", ".m2a",
    ".vob", ".m4r", ".m4p", ".3g2", ".3ga", ".snd", ".bwf", ".awb", ".qt", ".mlp",
})  # fmt: skip

_HEAD_BYTES = 4096
_OGG_REACH_BYTES = 66_000  # a page is at most 65,307 bytes long
# (offset, magic, kind); the kind is also the name of the ffmpeg demuxer that reads it.
_MAGICS = (
    (0, b"fLaC", "flac"),
    (0, b"OggS", "ogg"),
    (0, b"RF64", "wav"),
    (0, b"riff\x2e\x91\xcf\x11", "w64"),
    (0, b"caff", "caf"),
    (0, b".snd", "au"),
    (0, b"\x1a\x45\xdf\xa3", "matroska"),
    (4, b"ftyp", "mov"),
    (4, b"moov", "mov"),
    (4, b"mdat", "mov"),
    (4, b"wide", "mov"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "asf"),
    (0, b"FLV\x01", "flv"),
    (0, b"\x00\x00\x01\xba", "mpeg"),
    (0, b"#!AMR", "amr"),
    (0, b"MAC ", "ape"),
    (0, b"wvpk", "wv"),
    (0, b"TTA1", "tta"),
    (0, b"MPCK", "mpc8"),
    (0, b"MP+", "mpc"),
    (0, b"\x7f\xfe\x80\x01", "dts"),
)
_PLAYLIST_HEADS = (
    b"#extm3u", b"#extinf", b"[playlist]", b"ffconcat", b"<asx", b"<mpd", b"<smil", b"<playlist",
    b"[reference]", b"http://", b"https://", b"rtsp://", b"file:",
)  # fmt: skip
_PLAYLIST_EXTENSIONS = frozenset({
    ".m3u", ".m3u8", ".pls", ".asx", ".xspf", ".mpd", ".smil", ".ffconcat", ".cue",
})  # fmt: skip


@dataclass(frozen=True)
class AudioInfo:
    """What a file declares about its sound."""

    sample_rate: int  # Hz
    channels: int
    samples: int | None  # per channel, as declared; None: not declared
    subtype: str  # soundfile's name of the encoding, e.g. "PCM_16"
    format: str  # soundfile's name of the container ("WAV"), or ffmpeg's ("mov")
    channel_mask: int = 0  # speakers of the channels, see `audio.layout`; 0: not declared
    is_estimated: bool = False  # `samples` is an estimate, decoding may give more or fewer

    @property
    def seconds(self) -> float | None:
        """Declared duration in seconds; None: not declared."""
        return None if self.samples is None else self.samples / self.sample_rate


def checked_info(path: Path, info: AudioInfo) -> AudioInfo:
    """Return `info` as it is.

    Raises:
        InputError: The sample rate, the channels or the length is not that of usable audio.
    """
    if not MIN_SAMPLE_RATE <= info.sample_rate <= MAX_SAMPLE_RATE:
        raise InputError(
            f"{path}: its header says {info.sample_rate} Hz; "
            f"only {MIN_SAMPLE_RATE} to {MAX_SAMPLE_RATE} Hz can be read"
        )
    if not 1 <= info.channels <= MAX_CHANNELS:
        raise InputError(
            f"{path}: its header says {info.channels} channels; 1 to {MAX_CHANNELS} can be read"
        )
    if info.samples is not None and info.samples <= 0:
        raise InputError(f"{path}: holds no sound (0 samples)")
    return info


def require_file(path: Path) -> None:
    """Check that there is a readable, non-empty regular file.

    Raises:
        InputError: There is none at `path`.
    """
    try:
        if path.is_dir():
            raise InputError(f"{path}: is a folder, not an audio file")
        if not path.exists():
            raise InputError(f"{path}: no such file; check the spelling")
        if not path.is_file():
            raise InputError(f"{path}: is not a regular file; copy the audio to a file first")
        if path.stat().st_size == 0:
            raise InputError(f"{path}: is an empty file (0 bytes)")
        with path.open("rb"):
            pass
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: cannot be opened ({reason})") from error


def sniff(path: Path) -> str:
    """Detect what kind of file this is by its first bytes.

    Returns:
        A kind, which is the name of the ffmpeg demuxer for it: "wav", "flac", "mov" ...

    Raises:
        InputError: A playlist, or nothing that is known to be audio or video.
    """
    with path.open("rb") as handle:
        head = handle.read(_HEAD_BYTES)
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    playlist = text.startswith(_PLAYLIST_HEADS) or (
        text.startswith(b"<?xml") and any(tag in text for tag in (b"<playlist", b"<mpd", b"<smil"))
    )
    if playlist or path.suffix.lower() in _PLAYLIST_EXTENSIONS:
        raise InputError(f"{path}: is a playlist; name the audio files themselves")
    kind = _by_magic(head) or _by_frames(path, head)
    if kind is None:
        raise InputError(
            f"{path}: is not audio or video of a known kind; convert it to WAV or FLAC first"
        )
    return kind


def _by_magic(head: bytes) -> str | None:
    for offset, magic, kind in _MAGICS:
        if head[offset : offset + len(magic)] == magic:
            return kind
    group, form = head[:4], head[8:12]
    if group in (b"RIFF", b"RIFX"):
        return {b"WAVE": "wav", b"AVI ": "avi"}.get(form)
    if group == b"FORM" and form in (b"AIFF", b"AIFC"):
        return "aiff"
    if head[:2] == b"\x0b\x77" and len(head) > 5:  # AC-3; its successor has bsid above 10
        return "eac3" if head[5] >> 3 > 10 else "ac3"
    for start, step in ((0, 188), (4, 192)):  # transport stream: a sync byte each packet
        if len(head) > start + 4 * step and head[start : start + 4 * step : step] == b"G" * 4:
            return "mpegts"
    return None


def _by_frames(path: Path, head: bytes) -> str | None:
    """MPEG audio and raw AAC have no magic of their own, only frame headers."""
    start = id3_end(path)
    with path.open("rb") as handle:
        handle.seek(start)
        sync = handle.read(2)
    if len(sync) == 2 and sync[0] == 0xFF and sync[1] & 0xF6 == 0xF0:
        return "aac"
    named_mpeg = path.suffix.lower() in (".mp3", ".mp2", ".mpga") or head[:3] == b"ID3"
    reach = 65_536 if named_mpeg else 0  # some begin with junk; trust only the name for that
    return "mp3" if find_first_frame(path, start, reach) is not None else None


def ogg_is_simple(path: Path) -> bool:
    """Whether an Ogg file holds one logical stream, neither chained nor with video beside it.

    Raises:
        InputError: The file ends within a page.
    """
    size = path.stat().st_size
    with path.open("rb") as handle:
        head = handle.read(_OGG_REACH_BYTES)
        handle.seek(max(0, size - _OGG_REACH_BYTES))
        tail = handle.read()
    last = tail.rfind(b"OggS")
    if last >= 0 and _ogg_page_bytes(tail[last:]) > len(tail) - last:
        raise InputError(f"{path}: is cut off in its last page; get a complete copy")
    second = head.find(b"OggS", 27)
    serials = {head[14:18], head[second + 14 : second + 18] if second > 0 else head[14:18]}
    if last >= 0:
        serials.add(tail[last + 14 : last + 18])
    return len(serials) == 1


def _ogg_page_bytes(page: bytes) -> int:
    """The length that the header of a page declares (at least that of the header)."""
    segments = page[26] if len(page) > 26 else 0
    return 27 + segments + sum(page[27 : 27 + segments])


def fs_name(path: Path) -> str | bytes:
    """The name as libsndfile takes it: bytes on POSIX, where a name need not be valid UTF-8."""
    return os.fspath(path) if os.name == "nt" else os.fsencode(path)
