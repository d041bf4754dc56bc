"""Starting models of a run: random weights, Spleeter's pretrained nets, or a query model."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from separate.errors import DataError
from separate.models import registry
from separate.models.ibm_cnn import IbmCnn, IbmCnnConfig
from separate.models.query_unet import EXPERTS, QueryUNet, QueryUNetConfig
from separate.models.spleeter import Spleeter
from separate.models.unet import SmallUNet, UNetConfig
from separate.queries.base import QueryEncoder
from separate.queries.vocabulary import ancestors, labels, training_captions
from separate.train.data.phrases import spoken
from separate.train.prune import is_narrower, levels, prune
from separate.weights.store import fetch, models_dir

_SPLEETER_NOTICE = (
    "Started from Spleeter's pretrained 2stems model, Copyright (c) 2019-present Deezer SA, MIT."
)
_VOICES = ("vocals", "speech")  # labels below these open the gate to the voice net
_BACKING = "accompaniment"  # the label of all but the voice
_MUSIC = "music"  # the root of labels that songs have
_BAND = ("drums", "bass", "guitar", "piano", "keys", "synth")  # what songs teach best


@dataclass(frozen=True)
class Start:
    """A starting model, with the licence, notices and data that its card must repeat."""

    model: nn.Module
    licence: str = "MIT"  # that its weights came with
    notices: tuple[str, ...] = ()
    trained_on: tuple[dict[str, Any], ...] = ()


SMALL = UNetConfig(channels=2, widths=(16, 32, 64, 96, 128, 192))  # of a net that is made


@dataclass(frozen=True)
class Size:
    """Requested size of a network; None keeps that of the network, or of `SMALL`."""

    widths: tuple[int, ...] | None = None
    dense: int | None = None
    last: int | None = None

    @property
    def given(self) -> bool:
        """Whether any size is requested."""
        return (self.widths, self.dense, self.last) != (None, None, None)

    def of(self, base: UNetConfig) -> UNetConfig:
        """Return a configuration with the requested sizes."""
        return replace(
            base,
            widths=base.widths if self.widths is None else self.widths,
            dense=base.dense if self.dense is None else self.dense,
            last=base.last if self.last is None else self.last,
        )


def initial_ibm(name: str, config: IbmCnnConfig) -> Start:
    """Return the binary-mask network to start from.

    Args:
        name: "random", or the name or path of such a model.
        config: Its size, where it is random.

    Raises:
        DataError: The model is another.
    """
    if name == "random":
        return Start(IbmCnn(config))
    return _loaded(name, (IbmCnn,), "a model that `separate train ibm` made, or random")


def _loaded(
    name: str, kinds: tuple[type[nn.Module], ...], wanted: str, option: str = "--init"
) -> Start:
    model, card = registry.load(registry.find(name, [models_dir()]))
    if not isinstance(model, kinds):
        raise DataError(f"{option} {name}: a {card.kind!r}; take {wanted}")
    return Start(model, card.licence, card.notices, card.trained_on)


def initial(name: str, encoder: QueryEncoder, size: Size = Size()) -> Start:
    """Return the query model to start from.

    Args:
        name: "random", "small" (a smaller network, random, without the open voice net),
            "spleeter-2stems", or the name or path of a query model.
        encoder: The query net whose vectors will condition it.
        size: Of "small".

    Raises:
        DataError: The model does not take queries.
        WeightsError: Spleeter's weights can't be fetched.
    """
    if name == "small":
        return Start(SmallUNet(size.of(replace(SMALL, query_dim=encoder.dim))))
    if name not in ("random", "spleeter-2stems"):
        return _loaded(
            name,
            (QueryUNet, SmallUNet),
            "a query model: default, spleeter-2stems, or one of your own",
        )
    model = QueryUNet(QueryUNetConfig(query_dim=encoder.dim))
    fit_gate(model, encoder)
    if name == "random":
        return Start(model)
    opened, _ = registry.load(fetch("spleeter-2stems"))
    assert isinstance(opened, Spleeter)
    model.voice.load_state_dict(opened.nets["vocals"].state_dict())
    return Start(model, notices=(_SPLEETER_NOTICE,))


def teacher(name: str, start: Start) -> Start:
    """Load the teacher of a distillation loss.

    Args:
        name: The name or path of a query model.
        start: The model that is trained.

    Raises:
        DataError: It takes other queries, or other audio.
    """
    wanted = "a query model: default, or one of your own"
    found = _loaded(name, (QueryUNet, SmallUNet), wanted, "--teacher")
    ours, theirs = (_interface(model.model) for model in (start, found))
    if ours != theirs:
        raise DataError(f"--teacher {name}: it takes other queries or channels than the model")
    return found


def _interface(model: nn.Module) -> tuple[int, int]:
    """Return the length of a model's query vectors and the channels of its audio."""
    config: Any = model.config
    return config.query_dim, getattr(config, "channels", 2)


def with_music(start: Start, size: Size, say: Callable[[str], None]) -> Start:
    """Give a model a music net of the requested size.

    A music net of that size is kept; a wider one is pruned (see `separate.train.prune`); otherwise
    the model gets a new one with random weights.

    Args:
        start: A model that takes queries.
        size: Of the music net.
        say: Called with a line that reports what was done.

    Raises:
        DataError: The model has no gate.
    """
    model = _gated(start, "music")
    music = model.music
    known = music.config
    wanted = size.of(known)
    if (levels(wanted), wanted.dense) == (levels(known), known.dense):
        return start
    config = replace(
        model.config, film_dim=wanted.film_dim,
        music_widths=wanted.widths, music_dense=wanted.dense, music_last=wanted.last,
    )  # fmt: skip
    made = _rebuilt(model, config, without="music.")
    if is_narrower(music, wanted):
        made.music = prune(music, wanted)
        say("the music net is pruned to the new widths")
    else:
        say("the music net is new, with random weights")
    return replace(start, model=made)


def _gated(start: Start, part: str) -> QueryUNet:
    if not isinstance(start.model, QueryUNet):
        raise DataError(f"--tune {part} needs a model with a gate: default, or one made of it")
    return start.model


def _rebuilt(model: QueryUNet, config: QueryUNetConfig, without: str) -> QueryUNet:
    """Return a model of another configuration with all weights but those of a part."""
    kept = {key: value for key, value in model.state_dict().items() if not key.startswith(without)}
    made = QueryUNet(config)
    made.load_state_dict(kept, strict=False)
    return made


def with_sounds(start: Start, encoder: QueryEncoder, sounds: Collection[str], size: Size) -> Start:
    """Open a model's gate to its net for sounds, which is made, random, where it has none.

    Args:
        start: A model that takes queries.
        encoder: The query net whose vectors condition it.
        sounds: Labels that the net learns, beside those that are routed to it; see `fit_gate`.
        size: Of a net that is made.

    Raises:
        DataError: The model has no gate, there are no such labels, or the net is of another size.
    """
    model = _gated(start, "sounds")
    if not sounds:
        raise DataError("--tune sounds learns from labelled clips, and there are none")
    if model.sounds is None:
        wanted = size.of(SMALL)
        config = replace(
            model.config,
            sound_widths=wanted.widths, sound_dense=wanted.dense, sound_last=wanted.last,
        )  # fmt: skip
        model = _rebuilt(model, config, without="gate.")
    elif size.of(model.sounds.config) != model.sounds.config:
        raise DataError("--tune sounds: the model has such a net already; leave its size away")
    fit_gate(model, encoder, {*sounds, *for_sounds(start.model, encoder, labels())})
    return replace(start, model=model)


def for_sounds(model: nn.Module, encoder: QueryEncoder, names: Collection[str]) -> list[str]:
    """Return the labels that are routed to a model's net for sounds, where it has one."""
    if not isinstance(model, QueryUNet) or model.sounds is None or not names:
        return []
    with torch.inference_mode():
        shares = model.expert_weights(encoder.embed_text([spoken(name) for name in names]))
    most = [EXPERTS[index] for index in shares.argmax(1).tolist()]
    return [name for name, answer in zip(names, most, strict=True) if answer == "sounds"]


def fit_gate(model: QueryUNet, encoder: QueryEncoder, sounds: Collection[str] = ()) -> None:
    """Open the gate to the net that a phrase is for: the voice's, all but the voice, the sounds'.

    Ridge regression from the vectors of every label's training captions to the gate's logits.

    Args:
        model: Its gate is set.
        encoder: The query net.
        sounds: Labels that the net for sounds has learned, where the model has one. It is given
            them, but for voices and what bands play, and all labels that are not music.
    """
    names = list(labels())
    voice = [bool(set(ancestors(name)) & set(_VOICES)) for name in names]
    backing = [name == _BACKING for name in names]
    meant = [voice, backing]
    if model.sounds is not None:
        known = {spoken(label) for label in sounds}
        meant.append([_for_sounds(name, known) for name in names])
    wanted = 12.0 * torch.tensor(meant, dtype=torch.float32).T - 6.0
    rows = [encoder.embed_text(training_captions(labels()[name])) for name in names]
    vectors = torch.cat(rows)
    targets = torch.cat([wanted[i].expand(len(row), -1) for i, row in enumerate(rows)])
    design = torch.cat([vectors, torch.ones(len(vectors), 1)], dim=1)
    weights = torch.tensor([1.0 / len(row) for row in rows for _ in row])[:, None]
    gram = design.T @ (design * weights) + 1e-3 * torch.eye(design.shape[1])
    solution = torch.linalg.solve(gram, design.T @ (targets * weights))
    model.gate.weight.data = solution[:-1].T.clone()
    model.gate.bias.data = solution[-1].clone()


def _for_sounds(name: str, known: Collection[str]) -> bool:
    above = set(ancestors(name))
    if above & {*_VOICES, *_BAND}:
        return False
    return name in known or _MUSIC not in above
