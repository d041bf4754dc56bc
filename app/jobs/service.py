"""All functions of the page and the HTTP API; both call these and nothing else.

Everything that comes from outside is checked here. Files are found by the names of jobs and uploads
alone.
"""

import json
import shutil
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from separate.app.config import MOST_EXAMPLES, MOST_QUERIES, ServeConfig, settings_from
from separate.app.jobs.lyrics import missing, render
from separate.app.jobs.orders import FindOrder, LyricsOrder, Order, SeparateOrder
from separate.app.jobs.queue import JobQueue, QueuedJob, view
from separate.app.jobs.refusals import InUse
from separate.app.jobs.store import Limits, Store
from separate.app.jobs.workers import Workers
from separate.batch.separation import make_job
from separate.errors import InputError, QueryError, WeightsError
from separate.queries.vocabulary import suggestions
from separate.settings import Request

_LONGEST_TOKEN = 200


def _limits(config: ServeConfig) -> Limits:
    """Return what a session, an address (twice as much) and all together may have."""
    space = config.max_files_gb * 1e9
    return Limits(config.max_jobs, 2 * config.max_jobs, 10 * config.max_jobs, space / 4, space)


class Service:
    """A running server without its web side."""

    def __init__(self, config: ServeConfig, *, workers: bool = True) -> None:
        """Create the store and, by default, start the worker processes."""
        self.config = config
        self.store = Store(config.keep_minutes * 60, config.folder, limits=_limits(config))
        self.closing = threading.Event()  # set when the server begins to stop
        self.queue = JobQueue()
        self.workers = Workers(self.queue, config.settings, config.concurrency)
        self.suggestions = suggestions()
        self._once = threading.Lock()
        if workers:
            self.workers.start()

    def close(self) -> None:
        """Stop all work and delete all files."""
        self.closing.set()
        self.workers.close()
        self.store.close()

    def start(self, key: str, asked: Mapping[str, Any], token: str | None = None) -> QueuedJob:
        """Queue what is asked for.

        Args:
            key: Of the session.
            asked: kind, and what that kind takes.
            token: An idempotency key: with the same one, the same request starts nothing anew.

        Raises:
            SeparateError: Something asked for is missing, too much or wrong.
        """
        kinds = {"separate": self.separate, "find": self.find, "lyrics": self.lyrics}
        kind = kinds.get(str(asked.get("kind", "")))
        if kind is None:
            raise InputError(f"kind: take one of {', '.join(kinds)}")
        if token is None:
            return kind(key, asked)
        if not token or len(token) > _LONGEST_TOKEN:
            raise InputError(f"idempotency key: give 1 to {_LONGEST_TOKEN} characters")
        what = json.dumps(asked, sort_keys=True)
        with self._once:
            job = self.store.repeated(key, token, what)
            if job is None:
                job = kind(key, asked)
                self.store.remember(key, token, what, job)
            return job

    def separate(self, key: str, asked: Mapping[str, Any]) -> QueuedJob:
        """Queue a separation.

        Args:
            key: Of the session.
            asked: upload, queries, exclude, like (uploads) and settings, as plain values.

        Raises:
            SeparateError: A value is missing, too large or wrong.
        """
        upload = self.store.upload(key, asked.get("upload"))
        texts, exclude = _words(asked, "queries"), _words(asked, "exclude")
        like = [self.store.upload(key, word) for word in _words(asked, "like")]
        if len(texts) > MOST_QUERIES or len(exclude) > MOST_QUERIES:
            raise QueryError(f"more than {MOST_QUERIES} queries at once; ask for fewer")
        if len(like) > MOST_EXAMPLES:
            raise QueryError(f"more than {MOST_EXAMPLES} examples; give fewer")
        if like and len(texts) > 1:
            raise QueryError("an example sound goes with one query at most; leave the others out")
        chosen = asked.get("settings") or {}
        if not isinstance(chosen, Mapping):
            raise QueryError("settings must be an object of names and values")
        if not texts and not like:
            raise QueryError("say what to separate, for example drums")
        settings = settings_from(self.config.settings, chosen)
        job_id, folder = self.store.new_job_folder(key)
        request = Request(
            texts=tuple(texts),
            exclude=tuple(exclude),
            like=tuple(example.path for example in like),
            sum_to_mixture=settings.sum_to_mixture,
        )
        order = SeparateOrder(upload.path, folder, self.config.max_seconds, settings, request)
        # The same checks as on the command line, before anybody waits.
        make_job(folder, settings, request)
        kept = {"queries": texts, "exclude": exclude, "like": [e.name for e in like],
                "settings": dict(chosen)}  # fmt: skip
        return self._queue(key, "separate", upload.name, order, job_id, kept)

    def find(self, key: str, asked: Mapping[str, Any]) -> QueuedJob:
        """Queue a search for what sounds in a file.

        Raises:
            InputError: The upload is gone.
        """
        upload = self.store.upload(key, asked.get("upload"))
        job_id, folder = self.store.new_job_folder(key)
        order = FindOrder(upload.path, folder, self.config.max_seconds, self.config.settings)
        return self._queue(key, "find", upload.name, order, job_id, {})

    def lyrics(self, key: str, asked: Mapping[str, Any]) -> QueuedJob:
        """Queue a transcription.

        Raises:
            SeparateError: The upload is gone, or the language is none.
        """
        upload = self.store.upload(key, asked.get("upload"))
        if problem := missing():
            raise WeightsError(problem)
        language = asked.get("language") or None
        if language is not None and not (isinstance(language, str) and language.isalpha()):
            raise InputError("language: give two letters, for example en")
        job_id, folder = self.store.new_job_folder(key)
        order = LyricsOrder(
            upload.path, folder, self.config.max_seconds, self.config.settings, language
        )
        return self._queue(key, "lyrics", upload.name, order, job_id, {"language": language})

    def _queue(
        self, key: str, kind: str, title: str, order: Order, job_id: str, asked: dict[str, Any]
    ) -> QueuedJob:
        job = QueuedJob(job_id, key, kind, title, order, order.folder, asked=asked)
        try:
            self.store.check_space(key)
            self.store.add_job(key, job)
        except BaseException:
            shutil.rmtree(order.folder, ignore_errors=True)
            raise
        self.queue.add(job)
        return job

    def delete_upload(self, key: str, word: object) -> None:
        """Delete an upload.

        Raises:
            InUse: A job still needs it.
            InputError: It is not here.
        """
        upload = self.store.upload(key, word)
        if any(not job.is_over and job.order.needs(upload.path) for job in self.store.jobs(key)):
            raise InUse("a job still needs this file; cancel it first, or wait until it is done")
        self.store.drop_upload(key, upload)

    def cancel(self, key: str, word: object) -> QueuedJob:
        """Stop a job of the session."""
        job = self.store.job(key, word)
        self.queue.cancel(job)
        return job

    def view(self, key: str, word: object) -> dict[str, Any]:
        """Return the state of one job."""
        return view(self.store.job(key, word), self.queue.places())

    def views(self, key: str) -> list[dict[str, Any]]:
        """Return the states of all jobs of the session, without their results."""
        places = self.queue.places()
        return [{**view(job, places), "result": {}} for job in self.store.jobs(key)]

    def done(self, key: str, word: object) -> QueuedJob:
        """Return a job that has results.

        Raises:
            InputError: It is not this session's, or not done.
        """
        job = self.store.job(key, word)
        if job.state != "done":
            raise InputError("this is not done; wait for it, or start it again")
        return job

    def stem(self, key: str, word: object, number: object) -> tuple[Path, str]:
        """Return a stem's file and the name it is saved under."""
        job = self.done(key, word)
        path = job.folder / _part(job, number)["file"]
        return path, f"{job.result['track']} - {path.name}"

    def drawn(self, key: str, word: object, part: object, what: str) -> Path:
        """Return the samples (`play`) or the `picture` of a stem or of the mixture."""
        job = self.done(key, word)
        media = job.result.get("mixture") if part == "mixture" else _part(job, part)
        if not media:
            raise InputError("there is no such sound")
        return job.folder / str(media[what])

    def stem_paths(self, key: str, word: object) -> list[tuple[str, Path]]:
        """Return names and files of all stems of a job."""
        job = self.done(key, word)
        return [(stem["name"], job.folder / stem["file"]) for stem in job.result.get("stems", [])]

    def lyrics_file(self, key: str, word: object, texts: Any, format: str) -> tuple[str, str]:
        """Return edited lyrics as a text, and the name it is saved under."""
        job = self.done(key, word)
        if job.kind != "lyrics" or not isinstance(texts, list):
            raise InputError("lines: give the text of each line")
        return render(job.result, texts, format), f"{job.result['track']}.{format}"

    def health(self) -> dict[str, Any]:
        """Tell whether the server works."""
        waiting, running = self.queue.counts()
        return {"status": "ok", "waiting": waiting, "running": running}


def _part(job: QueuedJob, number: object) -> dict[str, Any]:
    stems: list[dict[str, Any]] = job.result.get("stems", [])
    index = int(number) if isinstance(number, str | int) and str(number).isdecimal() else -1
    if not 0 <= index < len(stems):
        raise InputError("there is no such stem")
    return stems[index]


def _words(asked: Mapping[str, Any], name: str) -> list[str]:
    """Return a list of texts from outside, without blanks and doubles."""
    given: Sequence[Any] = asked.get(name) or []
    if isinstance(given, str) or not all(isinstance(word, str) for word in given):
        raise QueryError(f"{name} must be a list of texts")
    plain = [" ".join("".join(c if c.isprintable() else " " for c in w).split()) for w in given]
    return list(dict.fromkeys(word for word in plain if word))
