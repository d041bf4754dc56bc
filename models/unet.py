"""The query-conditioned U-Net: a mixture and a query in, the mask of what was asked for out.

In: magnitude `(batch, 2, frames, 2049)` of a stereo mixture and a query vector `(batch, dim)`.
Out: a mask of the magnitude's shape.

Three networks. `voice` is the open vocals net of Spleeter, unchanged: it knows 25,000 songs.
`music` is a Spleeter U-Net made conditional, started from the open accompaniment net, or a U-Net
with layer normalisation that learned from nothing: it sees the mixture and what the voice net
leaves of it, in 512 bands, and finds any query in them. `sounds`,
where a model has it, is a small U-Net that learned from labelled clips alone: what songs teach does
not help with a dog that barks. A gate read off the query says whose answer counts: the voice's, all
but the voice, the sounds', or the music trunk's.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from separate.models.bands import compressed, continued, from_bands, to_bands
from separate.models.small_unet import LayerNormTrunk, SmallUNet, SmallUNetConfig
from separate.models.spleeter import FREQ_BINS, SpleeterUNet
from separate.models.trunk import INPUTS, Trunk

ANSWERS = ("voice", "backing", "sounds", "music")  # what `QueryUNet.shares` are of
_FULL_SCALE = 1536**0.5  # RMS over bins of a sound whose RMS is 1
_MOST_GAIN = 10.0  # for the music trunk: quieter windows are nearly silence
_GATE_CLOSED = 0.02  # shares below count as none
_WIENER_EPS = 1e-10
_SILENT = 1e-12  # energy


@dataclass(frozen=True)
class UNetConfig:
    """Size of the conditioned U-Net."""

    query_dim: int = 128  # length of a query vector
    film_dim: int = 256  # width of the layer between query and FiLM parameters
    last_channels: int = 4  # of the open net's shape: channels of the last decoder level (there 1)
    music_level: float | None = None  # dBFS, to which each window is brought for the music trunk
    window_share: float = 0.0  # of that shape: of a window's statistics in its normalisations
    music_widths: tuple[int, ...] = ()  # of the music trunk's encoder; none: the open net's shape
    music_dense: int = 0  # width of its dense layers; 0: none
    music_last: int = 0  # channels of its last decoder level; 0: half the finest width
    sound_widths: tuple[int, ...] = ()  # of the encoder of the net for sounds; none: no such net
    sound_dense: int = 0  # width of its dense layers; 0: none
    sound_last: int = 0  # channels of its last decoder level; 0: half the finest width


class QueryUNet(nn.Module):
    """Voice net, music trunk, perhaps a net for sounds, and the gate between them."""

    def __init__(self, config: UNetConfig | None = None) -> None:
        super().__init__()
        self.config = config or UNetConfig()
        self.voice = SpleeterUNet()
        config = self.config
        self.music: Trunk
        if config.music_widths:
            widths = tuple(config.music_widths)
            size = SmallUNetConfig(
                config.query_dim, config.film_dim, 2, widths, config.music_dense, config.music_last
            )
            self.music = LayerNormTrunk(size, INPUTS)
        else:
            self.music = Trunk(
                config.query_dim, config.film_dim, config.last_channels, config.window_share
            )
        self.sounds = None
        if config.sound_widths:
            widths = tuple(config.sound_widths)
            size = SmallUNetConfig(
                config.query_dim, 128, 2, widths, config.sound_dense, config.sound_last
            )
            self.sounds = SmallUNet(size)
        # Logits of voice, all but the voice, and sounds, against the music trunk's 0.
        self.gate = nn.Linear(config.query_dim, 2 if self.sounds is None else 3)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def shares(self, query: Tensor) -> Tensor:
        """Return how much each of `ANSWERS` counts, `(batch, 4)`; backing is all but the voice.

        Shares of nearly nothing are nothing; the four sum to one.
        """
        logits = functional.pad(self.gate(query), (0, 1))
        shares = (logits.softmax(dim=-1) - _GATE_CLOSED).clamp_min(0)
        shares = shares / shares.sum(dim=-1, keepdim=True)
        if self.sounds is not None:
            return shares
        return torch.cat([shares[:, :2], torch.zeros_like(shares[:, :1]), shares[:, 2:]], dim=1)

    def forward(self, magnitude: Tensor, query: Tensor) -> Tensor:
        """Return masks 0..1 of the magnitude's shape.

        Args:
            magnitude: `(batch, 2, frames, 2049)`, frames a multiple of 64.
            query: `(batch, dim)`, unit length.
        """
        voice = self.voice_mask(magnitude)
        features = self.music.encode(self.music_input(magnitude, voice))
        music = from_bands(self.music.decode(features, query).sigmoid())
        sounds = torch.zeros_like(music) if self.sounds is None else self.sounds(magnitude, query)
        parts = torch.stack([voice, 1 - voice, sounds, music], dim=1)
        return (self.shares(query)[:, :, None, None, None] * parts).sum(1)

    def voice_mask(self, magnitude: Tensor) -> Tensor:
        """The voice net's mask, `(batch, 2, frames, 2049)`."""
        known = magnitude[..., :FREQ_BINS].contiguous(memory_format=torch.channels_last)
        return continued(self.voice(known).sigmoid(), magnitude.shape[-1])

    def music_gain(self, magnitude: Tensor) -> Tensor:
        """What brings each window to the level at which the music trunk hears it.

        Its compression and its normalisations suit one level, and recordings differ.

        Args:
            magnitude: Whole windows, `(batch, 2, frames, 2049)`.

        Returns:
            `(batch, 1, 1, 1)`.
        """
        if self.config.music_level is None:
            return magnitude.new_ones(len(magnitude), 1, 1, 1)
        energy = magnitude.square().mean(dim=(1, 2, 3), keepdim=True)
        wanted = _FULL_SCALE * 10 ** (self.config.music_level / 20)
        return (wanted * (energy + _SILENT).rsqrt()).clamp_max(_MOST_GAIN)

    def music_input(self, magnitude: Tensor, voice: Tensor, gain: Tensor | None = None) -> Tensor:
        """Mixture and mixture without voice in bands, at one level, loud bins compressed.

        Magnitudes span five decades; left as they are, a few loud bins drive every layer so far
        that neither a query's shifts nor small steps of training reach them.

        Args:
            magnitude: `(batch, 2, frames, 2049)`.
            voice: The voice's mask, of that shape.
            gain: `music_gain` of the windows that these frames are of; else they are whole.

        Returns:
            `(batch, 4, frames, 512)`.
        """
        both = torch.cat([to_bands(magnitude), to_bands(magnitude * (1 - voice))], dim=1)
        return compressed(both * (self.music_gain(magnitude) if gain is None else gain))


def wiener_mask(target: Tensor, rest: Tensor, exponent: float = 2.0) -> Tensor:
    """Return the mask e^2 / (e^2 + r^2) of two magnitude estimates; 0 where both are silent.

    Args:
        target: e, not negative.
        rest: r, of the same shape.
        exponent: Instead of 2; a larger one decides harder.
    """
    if exponent == 2:  # several times faster than a power
        target, rest = target.square(), rest.square()
    else:
        target, rest = target.pow(exponent), rest.pow(exponent)
    return target / (target + rest + _WIENER_EPS)
