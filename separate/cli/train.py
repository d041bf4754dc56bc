"""`separate train`: one command per recipe.

A command reads folders of cached audio and writes a run folder with a model and its card.
"""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from separate.cli.train_options import Frames, Shared, whole_blocks, with_shared

Speed = Annotated[
    float, typer.Option(min=0, max=0.5, help="Largest change of speed and pitch, as a fraction.")
]
train_app = typer.Typer(no_args_is_help=True, help="Train or adapt a separator of your own.")
_MIXTURE_RECIPES = {
    "unsupervised": "Learn from mixtures of mixtures and their captions alone.",
    "weak": "Learn from mixtures and their captions: all phrases' estimates add up to the mixture.",
    "semi": "Learn as weak does, and from single sources too.",
}


@train_app.callback()
def train() -> None:
    """Train or adapt a separator of your own."""  # makes a recipe's name part of the command


@train_app.command()
@with_shared()
def supervised(
    shared: Shared,
    frames: Frames = 256,
    queries: Annotated[int, typer.Option(min=1, help="Queries per example.")] = 4,
    joined: Annotated[
        float,
        typer.Option(min=0, max=1, help="Fraction of queries that ask for two sources at once."),
    ] = 0.0,
    speed: Speed = 0.06,
    real: Annotated[
        float,
        typer.Option(
            min=0, max=1, help="Fraction of songs that are real recordings, not rendered."
        ),
    ] = 0.5,
    teacher: Annotated[
        str | None,
        typer.Option(help="Model for the distillation loss: its masks are a second target."),
    ] = None,
    background: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            help="Fraction of examples mixed over a real recording without these stems; needs"
            " corpora of `separate data mixtures`.",
        ),
    ] = 0.0,
) -> None:
    """Mix and separate: learn from songs with stems and from labelled clips."""
    from separate.train.data.mixing import MixConfig

    mix = MixConfig(
        frames=whole_blocks(frames), queries=queries, joined=joined, speed=speed, real=real,
        background=background,
    )  # fmt: skip
    shared.start("supervised", mix=mix, teacher=teacher)


@train_app.command()
@with_shared(
    init="default", licences="free,sharealike,nc,research", minutes=6.0, batch=1,
    learning_rate=1e-3, anneal=True, warmup=10, ema_decay=0.95, weight_decay=0.0,
    name="adapted", tune="film",
)  # fmt: skip
def adapt(shared: Shared) -> None:
    """Adapt a model's normalisations and FiLM layers to a few songs of your own, in minutes.

    The folders may also hold songs with stems, or clips by label, as audio files.
    """
    from separate.train.data.folders import cached_folder
    from separate.train.data.mixing import MixConfig
    from separate.train.recipes.supervised import SupervisedConfig

    cache = shared.run / "audio"
    cached = [
        cached_folder(folder, cache / str(number), log=typer.echo)
        for number, folder in enumerate(shared.corpus)
    ]
    # A network overfits a few songs quickly, so they are augmented more.
    mix = MixConfig(frames=192, aligned=0.2, gain_db=9, eq_db=8, speed=0.15, drop=0.2)
    replace(shared, corpus=cached).start(
        "supervised",
        mix=mix,
        supervised=SupervisedConfig(doubts=True, shared_weight=3),
        lr_scales={"film_lr_scale": 0.1, "encoder_lr_scale": 1},
    )


def _mixture_command(recipe: str) -> None:
    """Add one of the recipes that learn from mixtures."""

    @with_shared(learning_rate=1e-4)
    def command(
        shared: Shared,
        frames: Frames = 128,
        sources: Annotated[int, typer.Option(min=1, help="Sources per mixture.")] = 2,
        scorer: Annotated[
            str,
            typer.Option(
                "--scorer",
                "--listener",
                help="Scores the estimates where --contrast is above 0: embedded, clap,"
                " efficientat-mn04, or a .pt.",
            ),
        ] = "embedded",
        contrast: Annotated[
            float, typer.Option(min=0, help="Weight of the contrastive loss; the paper's is 0.5.")
        ] = 0.0,
        singles: Annotated[
            list[Path] | None, typer.Option(help="Folder of single sources (semi); repeatable.")
        ] = None,
        recordings: Annotated[
            float,
            typer.Option(
                min=0, max=1, help="Fraction of mixtures from corpora of `separate data mixtures`."
            ),
        ] = 0.0,
    ) -> None:
        from separate.train.data.mixtures import MixtureConfig

        mixtures = MixtureConfig(
            frames=whole_blocks(frames), sources=sources, recordings=recordings
        )
        shared.start(
            recipe,
            mixtures=mixtures,
            scorer=scorer,
            contrastive_weight=contrast,
            singles=tuple(singles or ()),
        )

    train_app.command(recipe, help=_MIXTURE_RECIPES[recipe])(command)


for _recipe in _MIXTURE_RECIPES:
    _mixture_command(_recipe)


@train_app.command()
@with_shared()
def anchors(
    shared: Shared,
    frames: Frames = 128,
    tagger: Annotated[
        str, typer.Option(help="Tagger that finds anchors: embedded, efficientat-mn04 or its .pt.")
    ] = "embedded",
    condition: Annotated[
        str, typer.Option(help="Query by tags (the tagger's vector of the anchor) or by name.")
    ] = "tags",
    random_crops: Annotated[
        bool,
        typer.Option("--random-crops", help="Use random excerpts of clips instead of anchors."),
    ] = False,
) -> None:
    """Learn from clips with weak labels, by anchors as in USS."""
    from separate.errors import SettingsError
    from separate.train.recipes.anchors import CONDITIONS, AnchorConfig

    if condition not in CONDITIONS:
        raise SettingsError(f"--condition {condition!r}: take {' or '.join(CONDITIONS)}")
    settings = AnchorConfig(whole_blocks(frames), mined=not random_crops, condition=condition)
    shared.start("anchors", anchors=settings, tagger=tagger)


@train_app.command()
@with_shared(
    init="random", licences="free,sharealike,nc,research", batch=6, learning_rate=2e-3,
    anneal=True, ema_decay=0.998, weight_decay=1e-2, name="ibm",
)  # fmt: skip
def ibm(
    shared: Shared,
    only: Annotated[
        str,
        typer.Option(
            help="Patterns of the names of songs to learn from, comma-separated. The default are"
            " the training singers of MIR-1K's published split; other folders are taken whole."
        ),
    ] = "",
    channels: Annotated[int, typer.Option(min=1, help="Channels of the convolutions.")] = 32,
    hidden: Annotated[int, typer.Option(min=1, help="Width of the dense layers.")] = 512,
    threshold: Annotated[
        float, typer.Option(min=0, max=1, help="Likelihood below which a bin is not voice.")
    ] = 0.15,
    dropout: Annotated[
        float, typer.Option(min=0, max=0.9, help="Dropout of the dense layers.")
    ] = 0.2,
    speed: Speed = 0.27,
) -> None:
    """Train a CNN on the ideal binary mask of the voice; needs songs with vocals.

    The folders may be MIR-1K, iKala or DSD100 as they come, songs with stems as audio files, or
    what `separate data` made.
    """
    from separate.models.ibm_cnn import IbmCnnConfig
    from separate.train.data.folders import cached_folder
    from separate.train.recipes.ibm import IbmConfig

    patterns = tuple(part.strip() for part in only.split(",") if part.strip())
    cached = [
        cached_folder(folder, shared.run / "audio" / str(number), typer.echo, patterns)
        for number, folder in enumerate(shared.corpus)
    ]
    size = IbmCnnConfig(channels=channels, hidden=hidden, dropout=dropout, threshold=threshold)
    replace(shared, corpus=cached).start("ibm", ibm=IbmConfig(speed=speed), ibm_cnn=size)
