"""All settings of a training run beside the loop's."""

from dataclasses import dataclass, field
from pathlib import Path

from separate.models.ibm_cnn import IbmCnnConfig
from separate.train.data.mixing import MixConfig
from separate.train.data.mixtures import MixtureConfig
from separate.train.recipes.anchors import AnchorConfig
from separate.train.recipes.ibm import IbmConfig
from separate.train.recipes.supervised import SupervisedConfig
from separate.train.settings import RunSettings, TuneConfig
from separate.train.start import Size


@dataclass(frozen=True)
class RunConfig(RunSettings):
    """Settings of a run, those of all recipes included; a recipe reads its own."""

    recipe: str = "supervised"  # or unsupervised, weak, semi, anchors, ibm
    size: Size = field(default_factory=Size)  # of a network with random weights
    tune: TuneConfig = field(default_factory=TuneConfig)
    mix: MixConfig = field(default_factory=MixConfig)
    supervised: SupervisedConfig = field(default_factory=SupervisedConfig)
    teacher: str | None = None  # a model for the distillation loss of `supervised`
    mixtures: MixtureConfig = field(default_factory=MixtureConfig)
    singles: tuple[Path, ...] = ()  # folders of single sources for `semi`; none: `folders`
    contrastive_weight: float = 0.0  # of the contrastive loss of `weak` and `semi`
    scorer: str = "embedded"  # compares estimates with phrases for the contrastive loss
    anchors: AnchorConfig = field(default_factory=AnchorConfig)
    tagger: str = "embedded"  # finds anchors
    ibm: IbmConfig = field(default_factory=IbmConfig)
    ibm_cnn: IbmCnnConfig = field(default_factory=IbmCnnConfig)
