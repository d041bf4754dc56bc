"""Training of the audio tower: it embeds sounds in the text tower's space.

The text tower is fixed, and EfficientAT's tagger is the teacher. The targets of each sound are

- its caption's vector (of a mixture: that of the joined captions), by cosine and by contrast with
  all labels;
- the teacher's classes, as likelihoods and as a contrast with the vectors of their names;
- the teacher's embedding, through a layer that is discarded.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from separate.models.audio_tower import AudioTower, AudioTowerConfig
from separate.models.tagger import TaggerNet
from separate.models.text_tower import TextTower
from separate.queries import vocabulary
from separate.train.finite import StepGuard
from separate.train.query_net.config import AudioTraining, SoundTable
from separate.train.query_net.mixing import SoundBatch, SoundMixer
from separate.train.query_net.sounds import SAMPLE_RATE, WINDOW_SECONDS, Sound

log = logging.getLogger(__name__)

_EMBEDDING = 384
_FAR_BELOW = -11.5  # log of the tower's floor: silence
_AUDIBLE_DB = -9.0  # a second sound below is a leak: the caption does not name it
_OFTEN = {"lead vocals": 2.5, "backing vocals": 1.5, "drums": 2.0, "bass": 2.0, "piano": 1.5}


@torch.inference_mode()
def analyse(
    sounds: list[Sound],
    teacher: TaggerNet,
    config: AudioTowerConfig,
    on_progress: Callable[[int, int], None] | None = None,
) -> SoundTable:
    """Analyse all sounds with the tower's front end and the teacher.

    Args:
        sounds: Windows at 32 kHz.
        teacher: EfficientAT's tagger.
        config: The audio tower's front end.
        on_progress: Called with (done, total).
    """
    tower = AudioTower(config)
    longest = (int(WINDOW_SECONDS * SAMPLE_RATE) // config.hop_length + 1) // config.joined
    mels = torch.full((len(sounds), config.mels, longest), _FAR_BELOW, dtype=torch.float16)
    frames = torch.zeros(len(sounds), dtype=torch.int64)
    logits = torch.zeros(len(sounds), vocabulary_size(), dtype=torch.float16)
    embeddings = torch.zeros(len(sounds), _EMBEDDING, dtype=torch.float16)
    for row, sound in enumerate(sounds):
        waveform = torch.from_numpy(sound.samples)[None]
        mel = tower.log_mel(waveform)[0]
        frames[row] = mel.shape[-1]
        mels[row, :, : mel.shape[-1]] = mel.half()
        peak = waveform.abs().max().clamp_min(1e-4)
        classes, features = teacher(waveform * (0.5 / peak))
        logits[row], embeddings[row] = classes[0].half(), features[0].half()
        if on_progress is not None:
            on_progress(row + 1, len(sounds))
    held_out = torch.tensor([sound.held_out for sound in sounds])
    labels = [sound.label for sound in sounds]
    sources = [sound.source for sound in sounds]
    return SoundTable(mels, frames, logits, embeddings, labels, sources, held_out)


def vocabulary_size() -> int:
    """Return the number of AudioSet classes."""
    return len(vocabulary.audioset_classes())


class _Captions:
    """The text tower's vectors of all captions; the tower itself embeds joined ones."""

    def __init__(self, tower: TextTower, generator: torch.Generator) -> None:
        self.tower = tower
        self.generator = generator
        self.labels = list(vocabulary.labels().values())
        self.row = {label.name: row for row, label in enumerate(self.labels)}
        texts = [vocabulary.training_captions(label) for label in self.labels]
        self.counts = torch.tensor([len(group) for group in texts])
        self.first = self.counts.cumsum(0) - self.counts
        flat = [text for group in texts for text in group]
        with torch.no_grad():
            self.vectors = torch.cat([tower(flat[i : i + 512]) for i in range(0, len(flat), 512)])
            names = list(map(vocabulary.spoken, vocabulary.audioset_classes()))
            self.class_names = tower(names)

    def sample(self) -> Tensor:
        """Return the vector of one caption a label `(labels, dim)`, drawn anew each time."""
        share = torch.rand(len(self.counts), generator=self.generator)
        return self.vectors[self.first + (share * self.counts).long()]

    @torch.no_grad()
    def joined(self, pairs: list[tuple[int, int]]) -> Tensor:
        """Return the vectors of captions that name two labels, in either order."""
        phrases = []
        for pair in pairs:
            words = [self._pick(self.labels[row].captions) for row in pair]
            if torch.rand(1, generator=self.generator) < 0.5:
                words.reverse()
            phrases.append(self._pick(vocabulary.JOINTS).format(*words))
        vectors: Tensor = self.tower(phrases)
        return vectors

    def _pick(self, choices: tuple[str, ...]) -> str:
        return choices[int(torch.randint(len(choices), (1,), generator=self.generator))]


class _Lessons:
    """The losses of a batch."""

    def __init__(self, table: SoundTable, captions: _Captions, settings: AudioTraining) -> None:
        self.table = table
        self.captions = captions
        self.settings = settings
        self.labels = torch.tensor([captions.row[label] for label in table.labels])

    def loss(self, batch: SoundBatch, tower: AudioTower, adaptor: nn.Linear) -> Tensor:
        """Return the mean loss of the sounds that are audible."""
        settings = self.settings
        features = tower.pooled(batch.mels.contiguous())
        vectors = functional.normalize(tower.joint(features), dim=-1)
        names = self.captions.sample()
        target = self.targets(batch, names)
        share = (batch.second_db / 10 * 2.302585).exp()  # energy of the second, 0 where none
        likelihoods = self._likelihoods(batch, share)
        taught = functional.cosine_similarity(
            adaptor(features), self.table.embeddings[batch.first].float()
        )
        classes = functional.binary_cross_entropy_with_logits(
            tower.classify(features), likelihoods, reduction="none"
        )
        loss = (
            (1 - (vectors * target).sum(1))
            + settings.contrast_weight * self._contrast(vectors, target, names)
            + settings.names_weight * self._name_contrast(vectors, likelihoods)
            + settings.class_weight * classes.sum(1) / 20
            + settings.embedding_weight * (1 - taught) * (1 - share)
        )
        return (loss * batch.audible).sum() / batch.audible.sum().clamp_min(1)

    def targets(self, batch: SoundBatch, names: Tensor) -> Tensor:
        """Where in the joint space each sound belongs `(batch, dim)`."""
        target = names[self.labels[batch.first]]
        both = (batch.second_db > _AUDIBLE_DB) & (
            self.labels[batch.first] != self.labels[batch.second]
        )
        if both.any():
            firsts = self.labels[batch.first[both]].tolist()
            seconds = self.labels[batch.second[both]].tolist()
            target[both] = self.captions.joined(list(zip(firsts, seconds, strict=True)))
        return target

    def _likelihoods(self, batch: SoundBatch, share: Tensor) -> Tensor:
        """The teacher's likelihoods `(batch, classes)`; of a mixture, those of either sound."""
        first = self.table.logits[batch.first].float().sigmoid()
        second = self.table.logits[batch.second].float().sigmoid() * share.sqrt().unsqueeze(1)
        return torch.maximum(first, second)

    def _contrast(self, vectors: Tensor, target: Tensor, names: Tensor) -> Tensor:
        wanted = (target @ names.T / self.settings.temperature).softmax(1)
        found = (vectors @ names.T / self.settings.temperature).log_softmax(1)
        return -(wanted * found).sum(1)

    def _name_contrast(self, vectors: Tensor, likelihoods: Tensor) -> Tensor:
        """Contrast with the class names; the surer the teacher, the more it counts."""
        sharp = likelihoods.square()
        wanted = sharp / sharp.sum(1, keepdim=True).clamp_min(1e-6)
        found = vectors @ self.captions.class_names.T / self.settings.temperature
        return -(wanted * found.log_softmax(1)).sum(1) * likelihoods.amax(1)


def draw_weights(labels: list[str]) -> Tensor:
    """Return the weight of each sound in the draw; rare labels are drawn more often."""
    counts = Counter(labels)
    weights = [_OFTEN.get(label, 1.0) * counts[label] ** -0.5 for label in labels]
    return torch.tensor(weights)


def train_audio(
    table: SoundTable,
    text: TextTower,
    settings: AudioTraining,
    on_progress: Callable[[int, float], None] | None = None,
    *,
    start: AudioTower | None = None,
) -> AudioTower:
    """Train an audio tower on every sound that is not held out.

    Args:
        table: Analysed sounds.
        text: The text tower; it is not changed.
        settings: How to train.
        on_progress: Called with (steps, share of the time that is over).
        start: Weights to go on from; None: random ones.
    """
    torch.manual_seed(settings.seed)
    rows = (~table.held_out).nonzero().squeeze(1)
    mixer = SoundMixer(
        table, rows, draw_weights([table.labels[row] for row in rows.tolist()]), settings
    )
    lessons = _Lessons(table, _Captions(text, mixer.generator), settings)
    tower = AudioTower(AudioTowerConfig())
    if start is not None:
        tower.load_state_dict(start.state_dict())
    tower = tower.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    adaptor = nn.Linear(tower.config.hidden_dim, _EMBEDDING)
    parameters = [*tower.parameters(), *adaptor.parameters()]
    optimiser = torch.optim.AdamW(
        parameters, settings.learning_rate, weight_decay=settings.weight_decay
    )
    guard = StepGuard(parameters, log.warning, tower.buffers())
    started = time.monotonic()
    step, done = 0, 0.0
    tower.train()
    while done < 1:
        for group in optimiser.param_groups:
            group["lr"] = settings.learning_rate * min(1.0, (step + 1) / 200) * (1 - done)
        loss = lessons.loss(mixer.draw(), tower, adaptor)
        optimiser.zero_grad()
        loss.backward()
        if guard.allows(loss):
            nn.utils.clip_grad_norm_(parameters, 5.0)
            optimiser.step()
        step += 1
        done = (time.monotonic() - started) / (60 * settings.minutes)
        if step % 100 == 0:
            log.info("audio %d (%.0f %%) loss %.4f", step, 100 * done, loss.item())
        if on_progress is not None:
            on_progress(step, min(done, 1.0))
    return tower.to(memory_format=torch.contiguous_format).eval()  # type: ignore[call-overload]
