"""What a training run is given beside the loop's settings: one dataclass from the command down."""

from dataclasses import dataclass, field
from pathlib import Path

from separate.models.ibm_cnn import IbmCnnConfig
from separate.train.data.mixing import MixConfig
from separate.train.data.mixtures import MixtureConfig
from separate.train.recipes.anchors import AnchorConfig
from separate.train.recipes.ibm import IbmConfig
from separate.train.recipes.supervised import SupervisedConfig
from separate.train.start import Size
from separate.train.trunk import TrunkConfig


@dataclass(frozen=True)
class Plan:
    """What a run needs beside the loop's settings."""

    folders: tuple[Path, ...]
    run: Path
    recipe: str = "supervised"  # or unsupervised, weak, semi, anchors, ibm
    init: str = "spleeter-2stems"
    size: Size = field(default_factory=Size)  # of a net that is made
    teacher: str | None = None  # a model whose masks are learned beside the truth
    dev: tuple[str, ...] = ()  # names of songs held out
    licences: tuple[str, ...] = ("free", "sharealike")
    threads: int = 0
    device: str = "cpu"
    name: str = "mine"
    precision: str = "int8"
    trunk: TrunkConfig = field(default_factory=TrunkConfig)
    mix: MixConfig = field(default_factory=MixConfig)
    supervised: SupervisedConfig = field(default_factory=SupervisedConfig)
    mixtures: MixtureConfig = field(default_factory=MixtureConfig)
    singles: tuple[Path, ...] = ()  # folders of single sources for `semi`; none: `folders`
    listener: str = "embedded"  # scores the estimates for the contrastive loss
    contrast: float = 0.0  # weight of the contrastive loss of `weak` and `semi`
    anchors: AnchorConfig = field(default_factory=AnchorConfig)
    tagger: str = "embedded"  # finds anchors
    ibm: IbmConfig = field(default_factory=IbmConfig)
    ibm_cnn: IbmCnnConfig = field(default_factory=IbmCnnConfig)
