"""What the API takes and gives, as types: the reference is generated from them.

In: nothing. Out: models that describe requests and answers; a test holds answers against them.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ErrorBody(_Closed):
    """Why something was refused."""

    code: str = Field(description="For programs, e.g. no_session, not_found, too_large, too_many.")
    message: str = Field(description="For people: one line that says what to do.")


class Failure(_Closed):
    """The shape of every error."""

    error: ErrorBody


class SessionKey(_Closed):
    """A session: uploads and results belong to it alone."""

    session: str = Field(description="Send it in the header X-Separate-Session.")


class UploadView(_Closed):
    """An uploaded recording."""

    upload: str = Field(description="Its name in requests.")
    name: str = Field(description="The file's name.")
    seconds: float
    sample_rate: int = Field(description="Hz.")
    channels: int
    bytes: int


class Chosen(_Closed):
    """Settings; each may be left out."""

    strength: float | None = Field(None, ge=0.25, le=4, description="Exponent of the masks.")
    share: bool | None = Field(None, description="Stems and the rest sum to the recording.")
    format: Literal["wav", "flac", "ogg", "mp3"] | None = None
    subtype: Literal["PCM_16", "PCM_24", "FLOAT"] | None = Field(None, description="Bit depth.")
    mp3_bitrate: int | None = Field(None, ge=64, le=320, description="kbit/s.")
    clip_mode: str | None = Field(None, description="What is done where samples would clip.")
    overlap: float | None = Field(None, ge=0, le=0.5, description="Of segments, a fraction.")
    shifts: int | None = Field(None, ge=0, le=2, description="Passes whose mean is taken.")


class Asked(_Closed):
    """A job."""

    kind: Literal["separate", "find", "lyrics"]
    upload: str = Field(description="Of POST /upload.")
    queries: list[str] = Field([], description="What to take out (separate), e.g. drums.")
    exclude: list[str] = Field([], description="What not to take with it (separate).")
    like: list[str] = Field([], description="Uploads that sound like it (separate).")
    settings: Chosen | None = Field(None, description="Of separate.")
    language: str | None = Field(None, description="Two letters (lyrics); empty: detected.")


class JobView(_Closed):
    """How a job stands."""

    id: str
    kind: Literal["separate", "find", "lyrics"]
    title: str = Field(description="The file's name.")
    state: Literal["waiting", "running", "done", "failed", "cancelled"]
    part: float = Field(ge=0, le=1, description="Of the work that is done.")
    step: str
    seconds_left: float | None = Field(description="A guess from what is done so far.")
    place: int | None = Field(description="In the queue, from 1.")
    waiting: int = Field(description="Jobs in the queue.")
    message: str = Field(description="Why it failed.")
    asked: dict[str, Any]
    result: dict[str, Any] = Field(
        description="Once done: stems (separate), found (find), lyrics; GET /jobs leaves it out."
    )


class Health(_Closed):
    """Whether the server works."""

    status: Literal["ok"]
    waiting: int = Field(description="Jobs in the queue.")
    running: int


class LyricsHelp(_Closed):
    """What is missing for lyrics; empty where nothing is."""

    missing: str
