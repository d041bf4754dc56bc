"""Sessions and their files: each session's own, under names that nobody can guess, for a while.

In: keys of sessions, uploads, jobs. Out: folders below one private root. A key is random and signed
by this server, so that a visitor can neither guess another's nor choose one; folders are named by
other random words, which never leave the server.
"""

import hashlib
import hmac
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from separate.app.jobs.queue import QueuedJob
from separate.app.jobs.refusals import NotHere, TooMany

_KEY_BYTES = 24
MOST_UPLOADS = 200  # of a session at a time
MOST_WAITING = 100  # jobs of a session at a time


@dataclass
class Upload:
    """One uploaded file."""

    id: str
    name: str  # as the visitor's system calls it; only ever shown
    path: Path
    bytes: int
    seconds: float = 0.0
    sample_rate: int = 0
    channels: int = 0
    used: float = field(default_factory=time.monotonic)


@dataclass
class Session:
    """What one visitor has here."""

    key: str
    folder: Path
    uploads: dict[str, Upload] = field(default_factory=dict)
    jobs: dict[str, QueuedJob] = field(default_factory=dict)


class Store:
    """All sessions. Safe to use from several threads."""

    def __init__(
        self,
        keep_seconds: float,
        parent: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Make a private root folder, empty.

        Args:
            keep_seconds: Files are deleted so long after their last use.
            parent: Where the root is made; None: the system's temporary folder.
            clock: Tells seconds.
        """
        if parent is not None:
            parent.mkdir(parents=True, exist_ok=True)
        self.root = Path(tempfile.mkdtemp(prefix="separate-app-", dir=parent))
        self._keep_seconds, self._clock = keep_seconds, clock
        self._secret = secrets.token_bytes(32)
        self._sessions: dict[str, Session] = {}
        self._lock = threading.RLock()

    def new_key(self) -> str:
        """Make the key of a new session; it takes no room until something is uploaded."""
        word = secrets.token_urlsafe(_KEY_BYTES)
        return f"{word}.{self._signature(word)}"

    def is_key(self, key: str | None) -> bool:
        """Whether this server made the key."""
        word, _, signature = (key or "").partition(".")
        right = self._signature(word).encode()
        return hmac.compare_digest(right, signature.encode(errors="replace"))

    def _signature(self, word: str) -> str:
        return hmac.new(self._secret, word.encode(errors="replace"), hashlib.sha256).hexdigest()[
            :32
        ]

    def session(self, key: str) -> Session:
        """Return a session, made if need be; the key must be one of ours."""
        with self._lock:
            if key not in self._sessions:
                folder = self.root / secrets.token_hex(16)
                folder.mkdir(mode=0o700)
                self._sessions[key] = Session(key, folder)
            return self._sessions[key]

    def new_upload(self, key: str, name: str, file_name: str) -> Upload:
        """Make room for a file; it counts once `keep_upload` is called.

        Args:
            key: Of the session.
            name: To show.
            file_name: Safe; what results are named after.

        Raises:
            InputError: The session has too many.
        """
        session = self.session(key)
        if len(session.uploads) >= MOST_UPLOADS:
            raise TooMany(f"{MOST_UPLOADS} files are here already; delete some first")
        word = secrets.token_urlsafe(16)
        folder = session.folder / secrets.token_hex(16)
        folder.mkdir(mode=0o700)
        return Upload(word, name, folder / file_name, 0, used=self._clock())

    def keep_upload(self, key: str, upload: Upload) -> None:
        """Take a complete file in."""
        with self._lock:
            self.session(key).uploads[upload.id] = upload

    def drop_upload(self, key: str, upload: Upload) -> None:
        """Delete a file."""
        with self._lock:
            self.session(key).uploads.pop(upload.id, None)
        shutil.rmtree(upload.path.parent, ignore_errors=True)

    def upload(self, key: str, word: object) -> Upload:
        """Return a session's upload.

        Raises:
            InputError: This session has none of that name: it was deleted, or is somebody else's.
        """
        with self._lock:
            upload = self.session(key).uploads.get(word) if isinstance(word, str) else None
            if upload is None:
                raise NotHere("this file is no longer here; upload it again")
            upload.used = self._clock()
            return upload

    def new_job_folder(self, key: str) -> tuple[str, Path]:
        """Return a job's name and its folder."""
        folder = self.session(key).folder / secrets.token_hex(16)
        folder.mkdir(mode=0o700)
        return secrets.token_urlsafe(16), folder

    def add_job(self, key: str, job: QueuedJob) -> None:
        """Remember a job of a session.

        Raises:
            InputError: Too many of it are waiting.
        """
        with self._lock:
            jobs = self.session(key).jobs
            if sum(not other.is_over for other in jobs.values()) >= MOST_WAITING:
                raise TooMany(f"{MOST_WAITING} files are waiting already; try again later")
            jobs[job.id] = job

    def job(self, key: str, word: object) -> QueuedJob:
        """Return a session's job.

        Raises:
            InputError: This session has none of that name.
        """
        with self._lock:
            job = self.session(key).jobs.get(word) if isinstance(word, str) else None
            if job is None:
                raise NotHere("this result is no longer here; separate the file again")
            job.used = self._clock()
            return job

    def jobs(self, key: str) -> list[QueuedJob]:
        """Return a session's jobs in the order they came; that is no use of their files."""
        with self._lock:
            session = self._sessions.get(key)
            return [] if session is None else list(session.jobs.values())

    def sweep(self) -> int:
        """Delete what nobody has used for long; return how many things went."""
        oldest = self._clock() - self._keep_seconds
        gone: list[Path] = []
        with self._lock:
            for key, session in list(self._sessions.items()):
                busy = [job for job in session.jobs.values() if not job.is_over]
                if busy:
                    continue
                for upload in [u for u in session.uploads.values() if u.used < oldest]:
                    del session.uploads[upload.id]
                    gone.append(upload.path.parent)
                for job in [j for j in session.jobs.values() if j.used < oldest]:
                    del session.jobs[job.id]
                    gone.append(job.folder)
                if not session.uploads and not session.jobs:
                    del self._sessions[key]
                    gone.append(session.folder)
        for folder in gone:
            shutil.rmtree(folder, ignore_errors=True)
        return len(gone)

    def close(self) -> None:
        """Delete everything."""
        shutil.rmtree(self.root, ignore_errors=True)
