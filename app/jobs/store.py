"""Sessions and their files, which are deleted some time after their last use.

All files are below one private root. A session's key is random and signed by this server, so that a
visitor can neither guess nor choose one; folders have other random names, which never leave the
server.
"""

import hashlib
import hmac
import math
import secrets
import shutil
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from separate.app.jobs.queue import QueuedJob
from separate.app.jobs.refusals import InUse, NotHere, TooMany

_KEY_BYTES = 24
MOST_UPLOADS = 200  # of a session at a time
_MOST_STRANGERS = 10_000  # sessions without files whose address is remembered


@dataclass(frozen=True)
class Limits:
    """What a visitor may have here at a time."""

    jobs: int = 50  # waiting or running, of a session
    jobs_near: int = 100  # of all sessions of an address
    jobs_all: int = 500
    bytes_near: float = math.inf  # of all files of an address
    bytes_all: float = math.inf


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
    arriving: dict[str, Upload] = field(default_factory=dict)  # not yet whole, or not yet checked
    address: str = ""  # where its last request came from
    repeats: dict[str, tuple[str, str]] = field(default_factory=dict)  # key: (what, job)

    @property
    def bytes(self) -> int:
        """Size of all its files."""
        uploads = sum(u.bytes for u in [*self.uploads.values(), *self.arriving.values()])
        return uploads + sum(job.bytes for job in self.jobs.values())

    @property
    def open_jobs(self) -> int:
        """How many wait or run."""
        return sum(not job.is_over for job in self.jobs.values())


class Store:
    """All sessions. Safe to use from several threads."""

    def __init__(
        self,
        keep_seconds: float,
        parent: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
        limits: Limits = Limits(),
    ) -> None:
        """Make a private root folder, empty.

        Args:
            keep_seconds: Files are deleted so long after their last use.
            parent: Where the root is made; None: the system's temporary folder.
            clock: Tells seconds.
            limits: Of a session, of an address, and of all.
        """
        if parent is not None:
            parent.mkdir(parents=True, exist_ok=True)
        self.root = Path(tempfile.mkdtemp(prefix="separate-app-", dir=parent))
        self._keep_seconds, self._clock, self._limits = keep_seconds, clock, limits
        self._addresses: OrderedDict[str, str] = OrderedDict()  # of sessions without files
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
                self._sessions[key] = Session(key, folder, address=self._addresses.pop(key, ""))
            return self._sessions[key]

    def visit(self, key: str, address: str) -> None:
        """Remember where a session's requests come from; limits count by that too."""
        with self._lock:
            if key in self._sessions:
                self._sessions[key].address = address
                return
            self._addresses[key] = address
            self._addresses.move_to_end(key)
            if len(self._addresses) > _MOST_STRANGERS:
                self._addresses.popitem(last=False)

    def check_space(self, key: str) -> None:
        """Raise `TooMany` where the address of a session, or all, have too many bytes here."""
        with self._lock:
            address = self.session(key).address
            near = sum(s.bytes for s in self._sessions.values() if s.address == address)
            if near >= self._limits.bytes_near:
                limit = f"{self._limits.bytes_near / 1e9:g} GB"
                raise TooMany(f"your files take up {limit}, the most here; delete some first")
            if sum(s.bytes for s in self._sessions.values()) >= self._limits.bytes_all:
                raise TooMany("the server has no room left; try again later", 300)

    def totals(self) -> tuple[int, int]:
        """Return how many sessions have files here, and the bytes of all."""
        with self._lock:
            return len(self._sessions), sum(s.bytes for s in self._sessions.values())

    def new_upload(self, key: str, name: str, file_name: str) -> Upload:
        """Make room for a file; it counts once `keep_upload` is called.

        Args:
            key: Of the session.
            name: To show.
            file_name: Safe; what results are named after.

        Raises:
            InputError: The session has too many.
        """
        with self._lock:
            session = self.session(key)
            if len(session.uploads) + len(session.arriving) >= MOST_UPLOADS:
                raise TooMany(f"{MOST_UPLOADS} files are here already; delete some first")
            self.check_space(key)
            word = secrets.token_urlsafe(16)
            folder = session.folder / secrets.token_hex(16)
            folder.mkdir(mode=0o700)
            upload = Upload(word, name, folder / file_name, 0, used=self._clock())
            session.arriving[word] = upload
            return upload

    def keep_upload(self, key: str, upload: Upload) -> None:
        """Take a complete file in."""
        with self._lock:
            self.session(key).arriving.pop(upload.id, None)
            self.session(key).uploads[upload.id] = upload

    def drop_upload(self, key: str, upload: Upload) -> None:
        """Delete a file."""
        with self._lock:
            self.session(key).arriving.pop(upload.id, None)
            self.session(key).uploads.pop(upload.id, None)
        shutil.rmtree(upload.path.parent, ignore_errors=True)

    def upload(self, key: str, word: object) -> Upload:
        """Return a session's upload.

        Raises:
            InputError: This session has none of that name: it was deleted, or is another's.
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
            session, limits = self.session(key), self._limits
            if session.open_jobs >= limits.jobs:
                raise TooMany(
                    f"{limits.jobs} of your jobs wait or run already, the most at a time;"
                    " cancel one, or wait until one is done"
                )
            near = [s for s in self._sessions.values() if s.address == session.address]
            if sum(s.open_jobs for s in near) >= limits.jobs_near:
                raise TooMany(
                    f"{limits.jobs_near} jobs of your network address wait or run already, the"
                    " most at a time; wait until one is done"
                )
            if sum(s.open_jobs for s in self._sessions.values()) >= limits.jobs_all:
                raise TooMany(f"{limits.jobs_all} jobs wait here already; try again later", 300)
            session.jobs[job.id] = job

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

    def repeated(self, key: str, token: str, what: str) -> QueuedJob | None:
        """Return the job that the same request made before, if it is still here.

        Args:
            key: Of the session.
            token: The request's idempotency key.
            what: It asks for.

        Raises:
            InUse: The key came with another request.
        """
        with self._lock:
            session = self.session(key)
            known, word = session.repeats.get(token, (what, ""))
            if known != what:
                raise InUse("this idempotency key came with another request; take a new one")
            return session.jobs.get(word)

    def remember(self, key: str, token: str, what: str, job: QueuedJob) -> None:
        """Remember what a request with an idempotency key made."""
        with self._lock:
            session = self.session(key)
            session.repeats[token] = (what, job.id)
            session.repeats = {t: r for t, r in session.repeats.items() if r[1] in session.jobs}

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
                if busy or session.arriving:
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
