"""Settings that every training run has; the command line takes its defaults from here.

This module does not import torch, so that `--help` answers at once.
"""

from dataclasses import dataclass
from pathlib import Path

TUNE = ("all", "film", "sounds", "music")


@dataclass(frozen=True)
class LoopConfig:
    """Length, learning rate and optimiser of a run."""

    minutes: float = 60.0  # wall-clock limit of this call; the run can be resumed
    steps: int = 1_000_000  # optimiser steps of the whole run
    batch: int = 2  # examples per step and process
    learning_rate: float = 3e-4  # of parameters with an lr_scale of 1
    warmup: int = 100  # steps of linear warm-up
    decay_steps: int = 0  # steps of a cosine decay to a tenth; 0: none
    anneal: bool = False  # a cosine decay to nothing over this call's minutes instead
    weight_decay: float = 1e-4  # AdamW's
    epsilon: float = 1e-8  # AdamW's; smaller gradients take shorter steps
    clip_norm: float = 1.0  # largest gradient norm
    ema_decay: float = 0.999  # decay of the exponential moving average of the weights
    save_minutes: float = 5.0  # time between checkpoints
    evaluate_minutes: float = 15.0  # time between evaluations
    evaluate_steps: int = 0  # steps between evaluations, whatever the time; 0: by time alone
    seed: int = 0  # of initial weights and examples
    bfloat16: bool = True  # autocast to bfloat16 on CUDA


@dataclass(frozen=True)
class TuneConfig:
    """Which parameters are trained, and their factors of the learning rate."""

    tune: str = "all"  # "film": only normalisations and FiLM layers, to adapt a trained model;
    # "sounds": only the net for sounds; "music": only the music net, at one learning rate
    encoder_lr_scale: float = 0.5  # of the music net's encoder
    film_lr_scale: float = 5.0  # of FiLM layers


@dataclass(frozen=True)
class RunSettings:
    """Data, starting model and output of a run, whatever the recipe."""

    folders: tuple[Path, ...]
    run: Path
    init: str = "spleeter-2stems"
    dev: tuple[str, ...] = ()  # names of held-out songs
    licences: tuple[str, ...] = ("free", "sharealike")
    threads: int = 0  # 0: all
    device: str = "cpu"
    name: str = "mine"  # of the model in its card
    precision: str = "int8"  # of the weights on disk
