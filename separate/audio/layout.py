"""Channel layouts: which speaker each channel is for, in files that say so.

Samples in memory are always in the order of WAV (Microsoft's WAVEFORMATEXTENSIBLE): ascending bits
of the channel mask. A mask of 0 means that the file doesn't say. Vorbis and Opus have an order of
their own (Vorbis I specification, 4.3.9; RFC 7845, 5.1.1.2), AIFF and CAF name theirs by a tag of
Core Audio's.
"""

import re
from functools import lru_cache
from pathlib import Path

SPEAKERS = (
    "FL", "FR", "FC", "LFE", "BL", "BR", "FLC", "FRC", "BC", "SL", "SR", "TC", "TFL", "TFC", "TFR",
    "TBL", "TBC", "TBR",
)  # fmt: skip
_PAIRS = (
    ("FL", "FR"), ("BL", "BR"), ("FLC", "FRC"), ("SL", "SR"), ("TFL", "TFR"), ("TBL", "TBR"),
)  # fmt: skip
_XIPH = {
    1: "FC", 2: "FL FR", 3: "FL FC FR", 4: "FL FR BL BR", 5: "FL FC FR BL BR",
    6: "FL FC FR BL BR LFE", 7: "FL FC FR SL SR BC LFE", 8: "FL FC FR SL SR BL BR LFE",
}  # fmt: skip
# Core Audio's layouts in the order of their channels (the tag's upper half; the lower is a count).
_CORE_AUDIO = {
    100: "FC", 101: "FL FR", 108: "FL FR BL BR", 113: "FL FR FC", 114: "FC FL FR",
    115: "FL FR FC BC", 116: "FC FL FR BC", 117: "FL FR FC BL BR", 118: "FL FR BL BR FC",
    119: "FL FC FR BL BR", 120: "FC FL FR BL BR", 121: "FL FR FC LFE BL BR",
    122: "FL FR BL BR FC LFE", 123: "FL FC FR BL BR LFE", 124: "FC FL FR BL BR LFE",
    125: "FL FR FC LFE BL BR BC", 126: "FL FR FC LFE BL BR FLC FRC",
    127: "FC FLC FRC FL FR BL BR LFE", 128: "FL FR FC LFE BL BR SL SR", 131: "FL FR BC",
    132: "FL FR BL BR", 133: "FL FR LFE", 134: "FL FR LFE BC", 135: "FL FR LFE BL BR",
    136: "FL FR FC LFE", 137: "FL FR FC LFE BC", 138: "FL FR BL BR LFE",
}  # fmt: skip
_CORE_AUDIO_BITMAP = 1 << 16  # this tag: a mask follows
_FLAC_COMMENT = re.compile(rb"WAVEFORMATEXTENSIBLE_CHANNEL_MASK=0x([0-9a-f]{1,8})", re.I)
_WAV_LOG = re.compile(r"^\s*Channel Mask\s*: 0x([0-9A-F]+)", re.M)
_OPUS_FAMILY_AT = 18  # byte of the packet OpusHead
_XIPH_FAMILY = 1  # channel mapping family of Opus that has the order of Vorbis


def mask_of(names: str) -> int:
    """Return the channel mask of speakers, such as "FL FR LFE"."""
    return sum(1 << SPEAKERS.index(name) for name in names.split())


def speakers_of(mask: int) -> list[str]:
    """Return the speakers of a channel mask in the order of WAV."""
    return [name for bit, name in enumerate(SPEAKERS) if mask >> bit & 1]


def default_mask(channels: int) -> int:
    """Return the usual layout of a number of channels (RFC 9639, 9.1.3); 0 above eight."""
    return mask_of(_XIPH[channels]) if channels in _XIPH else 0


def checked_mask(mask: int, channels: int) -> int:
    """Return the mask if it has a known speaker a channel, else 0."""
    known = mask < 1 << len(SPEAKERS) and mask.bit_count() == channels
    return mask if known else 0


@lru_cache
def channel_groups(channels: int, mask: int) -> tuple[tuple[int, ...], ...]:
    """Return which channels are separated together.

    Args:
        channels: 1 or more.
        mask: Channel mask; 0: the usual layout of so many channels.

    Returns:
        Indices of channels: left and right of each pair of speakers as stereo, every other channel
        (centre, LFE) by itself. Above eight channels without a layout: neighbours.
    """
    names = speakers_of(checked_mask(mask, channels) or default_mask(channels))
    if not names:
        return tuple(tuple(range(i, min(i + 2, channels))) for i in range(0, channels, 2))
    pairs = {left: (left, right) for left, right in _PAIRS if {left, right} <= set(names)}
    seconds = {right for _, right in pairs.values()}
    groups = [pairs.get(name, (name,)) for name in names if name not in seconds]
    return tuple(tuple(map(names.index, group)) for group in groups)


def xiph_order(channels: int, mask: int) -> list[int] | None:
    """Return for each channel of Vorbis and Opus its index in the order of WAV.

    Rear and side speakers stand for each other where a layout has one pair of them.

    Args:
        channels: 1 or more.
        mask: Channel mask; 0: the usual layout of so many channels.

    Returns:
        The indices; None where Vorbis has no such layout.
    """
    if channels not in _XIPH:
        return None if mask else list(range(channels))
    names = speakers_of(mask or default_mask(channels))
    if not {"BL", "SL"} <= set(names):
        names = [{"SL": "BL", "SR": "BR"}.get(name, name) for name in names]
    wanted = _XIPH[channels].split()
    if not {"BL", "SL"} <= set(wanted):
        wanted = [{"SL": "BL", "SR": "BR"}.get(name, name) for name in wanted]
    if set(names) != set(wanted):
        return None
    return [names.index(name) for name in wanted]


def read_layout(path: Path, kind: str, channels: int, subtype: str, log: str) -> list[str]:
    """Read which speakers the channels of a file are for.

    Args:
        path: The file.
        kind: As `info.sniff` found it.
        channels: Their number.
        subtype: soundfile's name of the encoding.
        log: What libsndfile noted about the header.

    Returns:
        Speakers in the order of the file's channels; empty where the file doesn't say.
    """
    names: list[str] = []
    if kind == "ogg" and subtype in ("VORBIS", "OPUS"):
        is_xiph = subtype == "VORBIS" or _opus_family(path) <= _XIPH_FAMILY
        names = _XIPH.get(channels, "").split() if is_xiph else []
    elif kind in ("flac", "ogg"):
        names = speakers_of(_flac_mask(path, channels))
    elif kind in ("aiff", "caf"):
        names = _core_audio_layout(path, kind)
    elif found := _WAV_LOG.search(log):
        names = speakers_of(checked_mask(int(found[1], 16), channels))
    return names if len(names) == len(set(names)) == channels else []


def _opus_family(path: Path) -> int:
    with path.open("rb") as handle:
        head = handle.read(4_096)
    at = head.find(b"OpusHead")
    return head[at + _OPUS_FAMILY_AT] if 0 <= at < len(head) - _OPUS_FAMILY_AT else 255


def _flac_mask(path: Path, channels: int) -> int:
    """Return the mask of a FLAC file's comments, else the one that FLAC defines."""
    with path.open("rb") as handle:
        if handle.read(4) == b"fLaC":
            while len(head := handle.read(4)) == 4:
                size = int.from_bytes(head[1:], "big")
                if head[0] & 0x7F == 4 and (found := _FLAC_COMMENT.search(handle.read(size))):
                    return checked_mask(int(found[1], 16), channels)
                if head[0] & 0x7F != 4:
                    handle.seek(size, 1)
                if head[0] & 0x80:
                    break
    return default_mask(channels)


def _core_audio_layout(path: Path, kind: str) -> list[str]:
    """Return the speakers of the chunk CHAN of AIFF or chan of CAF."""
    wide = kind == "caf"
    with path.open("rb") as handle:
        handle.seek(8 if wide else 12)
        while len(head := handle.read(12 if wide else 8)) == (12 if wide else 8):
            size = int.from_bytes(head[4:], "big")
            if head[:4] in (b"chan", b"CHAN"):
                tag = int.from_bytes(handle.read(4), "big")
                bitmap = int.from_bytes(handle.read(4), "big")
                if tag == _CORE_AUDIO_BITMAP:
                    return speakers_of(bitmap)
                return _CORE_AUDIO.get(tag >> 16, "").split()
            if size >= 1 << 62:  # the sound of a CAF file of unknown length
                break
            handle.seek(size if wide else size + size % 2, 1)
    return []
