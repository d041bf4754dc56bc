"""The query U-Net: masks of a stereo mixture for any query, from three networks and a gate.

In: magnitude `(batch, 2, frames, 2049)` of a stereo mixture and a query vector `(batch, dim)`.
Out: a mask of the magnitude's shape.

`voice` is the published vocals net of Spleeter (trained on 25,000 songs), unchanged. `music` is a
`UNet`: its input is the mixture and the mixture without the voice, in 512 bands. `sounds`, where a
model has it, is a `SmallUNet` trained on labelled clips alone, because training on songs does not
help with a dog's bark. A gate maps the query vector to the weights of four experts: the voice net,
its complement, the net for sounds, and the music net.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from separate.models.bands import compressed, continued, from_bands, to_bands
from separate.models.spleeter import FREQ_BINS, SpleeterUNet
from separate.models.unet import SmallUNet, UNet, UNetConfig

EXPERTS = ("voice", "backing", "sounds", "music")  # in the order of `QueryUNet.expert_weights`
_MUSIC_INPUTS = 4  # mixture and mixture without voice, left and right
_FULL_SCALE = 1536**0.5  # RMS over bins of a sound whose RMS is 1
_MOST_GAIN = 10.0  # for the music net: quieter windows are nearly silence
_GATE_CLOSED = 0.02  # weights below count as zero
_SILENT = 1e-12  # energy


@dataclass(frozen=True)
class QueryUNetConfig:
    """Size of the query U-Net."""

    query_dim: int = 128  # length of a query vector
    film_dim: int = 128  # width of the music net's layer between query and FiLM parameters
    music_level: float | None = None  # dBFS, to which each window is brought for the music net
    music_widths: tuple[int, ...] = (16, 32, 64, 96, 128, 192)  # of the music net's encoder
    music_dense: int = 0  # width of its dense layers; 0: none
    music_last: int = 0  # channels of its last decoder level; 0: half the finest width
    sound_widths: tuple[int, ...] = ()  # of the encoder of the net for sounds; none: no such net
    sound_dense: int = 0  # width of its dense layers; 0: none
    sound_last: int = 0  # channels of its last decoder level; 0: half the finest width

    def __post_init__(self) -> None:
        """Refuse a model of a kind that is no longer supported."""
        if not self.music_widths:
            raise ValueError("music nets of Spleeter's shape are no longer supported; train again")

    @property
    def music(self) -> UNetConfig:
        """Of the music net."""
        return UNetConfig(
            self.query_dim, self.film_dim, 2, self.music_widths, self.music_dense, self.music_last
        )

    @property
    def sounds(self) -> UNetConfig:
        """Of the net for sounds."""
        return UNetConfig(
            self.query_dim, 128, 2, self.sound_widths, self.sound_dense, self.sound_last
        )


class QueryUNet(nn.Module):
    """Voice net, music net, perhaps a net for sounds, and the gate between them."""

    def __init__(self, config: QueryUNetConfig | None = None) -> None:
        super().__init__()
        self.config = config or QueryUNetConfig()
        self.voice = SpleeterUNet()
        self.music = UNet(self.config.music, _MUSIC_INPUTS)
        self.sounds = SmallUNet(self.config.sounds) if self.config.sound_widths else None
        # Logits of voice, its complement, and sounds, against the music net's 0.
        self.gate = nn.Linear(self.config.query_dim, 2 if self.sounds is None else 3)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def expert_weights(self, query: Tensor) -> Tensor:
        """Return the weight of each of `EXPERTS`, `(batch, 4)`, for queries `(batch, dim)`.

        Weights below 0.02 are set to zero; the four sum to one.
        """
        logits = functional.pad(self.gate(query), (0, 1))
        weights = (logits.softmax(dim=-1) - _GATE_CLOSED).clamp_min(0)
        weights = weights / weights.sum(dim=-1, keepdim=True)
        if self.sounds is not None:
            return weights
        return torch.cat([weights[:, :2], torch.zeros_like(weights[:, :1]), weights[:, 2:]], dim=1)

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
        return (self.expert_weights(query)[:, :, None, None, None] * parts).sum(1)

    def voice_mask(self, magnitude: Tensor) -> Tensor:
        """Return the voice net's mask, `(batch, 2, frames, 2049)`."""
        known = magnitude[..., :FREQ_BINS].contiguous(memory_format=torch.channels_last)
        return continued(self.voice(known).sigmoid(), magnitude.shape[-1])

    def music_gain(self, magnitude: Tensor) -> Tensor:
        """Return the gain that brings each window to the music net's level.

        The compression of magnitudes suits one level, and the levels of recordings differ.

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
        """Return mixture and mixture without voice in bands, at one level, loud bins compressed.

        Magnitudes span five decades. Without compression a few loud bins dominate every layer, and
        neither a query's shifts nor small steps of training change their outputs.

        Args:
            magnitude: `(batch, 2, frames, 2049)`.
            voice: The voice's mask, of that shape.
            gain: `music_gain` of the whole windows, where these frames are parts of them.

        Returns:
            `(batch, 4, frames, 512)`.
        """
        both = torch.cat([to_bands(magnitude), to_bands(magnitude * (1 - voice))], dim=1)
        return compressed(both * (self.music_gain(magnitude) if gain is None else gain))
