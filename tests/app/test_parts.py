"""The parts of the page's server, each by itself."""

import base64
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile

from separate.app.about import about
from separate.app.config import ServeConfig, settings_from
from separate.app.http.auth import is_allowed, read_accounts
from separate.app.http.uploads import file_name, shown_name
from separate.app.jobs.media import prepare
from separate.app.jobs.orders import FindOrder
from separate.app.jobs.queue import JobQueue, QueuedJob, view
from separate.app.jobs.remix import parse_gains, remix, zip_blocks
from separate.app.jobs.store import Store
from separate.errors import Cancelled, InputError, SettingsError
from separate.settings import Settings


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def make_job(name: str, session: str = "a", clock=None) -> QueuedJob:
    order = FindOrder(Path("x.wav"), Path("out"), 60.0, Settings())
    return QueuedJob(
        name, session, "find", "x.wav", order, Path("out"), **({"clock": clock} if clock else {})
    )


# Configuration


@pytest.mark.parametrize(
    "wrong",
    [{"port": 70000}, {"max_minutes": 0}, {"concurrency": 0}, {"max_upload_mb": -1},
     {"root_path": "x"}, {"root_path": "/a/"}, {"root_path": "/a/../b"}, {"root_path": '/"'},
     {"keep_minutes": 0}],
)  # fmt: skip
def test_a_wrong_option_is_refused(wrong):
    with pytest.raises(SettingsError):
        ServeConfig(**wrong)


def test_choices_fill_the_settings_of_the_command_line():
    base = Settings(threads=3, model="default")
    made = settings_from(base, {"strength": 2, "share": True, "format": "mp3", "subtype": None})
    assert made == Settings(threads=3, mask_exponent=2, sum_to_mixture=True, format="mp3")
    for wrong in (
        {"threads": 8},
        {"device": "cuda"},
        {"strength": True},
        {"share": 1},
        {"shifts": 3},
    ):
        with pytest.raises(SettingsError):
            settings_from(base, wrong)


# Login


def header(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


def test_accounts_come_from_a_file_or_the_environment(tmp_path, monkeypatch):
    file = tmp_path / "accounts"
    file.write_text("# team\nann:se:cret\n\nbob:x\n")
    accounts = read_accounts(str(file))
    assert accounts == {"ann": "se:cret", "bob": "x"}
    monkeypatch.setenv("SEPARATE_AUTH", "eve:y")
    assert read_accounts("env") == {"eve": "y"}
    assert read_accounts(None) == {}
    assert is_allowed(accounts, header("ann:se:cret")) and is_allowed({}, None)
    for wrong in (
        None,
        "",
        "Basic",
        "Basic ???",
        header("ann"),
        header("ann:x"),
        header("bob:se:cret"),
        "Bearer x",
    ):
        assert not is_allowed(accounts, wrong)


@pytest.mark.parametrize("text", ["", "# nobody\n", "ann\n", ":x\n", "ann:\n"])
def test_accounts_that_are_none_are_refused(tmp_path, text):
    file = tmp_path / "accounts"
    file.write_text(text)
    with pytest.raises(SettingsError):
        read_accounts(str(file))
    with pytest.raises(SettingsError):
        read_accounts(str(tmp_path / "nowhere"))


# Sessions


def test_keys_are_this_servers_own(tmp_path):
    store, other = Store(60, tmp_path), Store(60, tmp_path)
    key = store.new_key()
    assert store.is_key(key) and not other.is_key(key)
    assert not any(store.is_key(wrong) for wrong in (None, "", ".", key[:-1], key + "0", "ü.ü"))
    assert store.root.stat().st_mode & 0o077 == 0
    store.close()
    assert not store.root.exists()


def test_files_go_when_nobody_used_them_for_long(tmp_path):
    clock = Clock()
    store = Store(60, tmp_path, clock)
    key = store.new_key()
    upload = store.new_upload(key, "a.wav", "a.wav")
    upload.path.write_bytes(b"x")
    store.keep_upload(key, upload)
    job_id, folder = store.new_job_folder(key)
    job = QueuedJob(
        job_id, key, "find", "a", FindOrder(upload.path, folder, 1, Settings()), folder, clock=clock
    )
    store.add_job(key, job)
    clock.now += 100
    assert store.sweep() == 0 and upload.path.exists()  # a job needs it
    job.finish("done")
    clock.now += 50
    assert store.upload(key, upload.id) is upload
    clock.now += 20
    store.sweep()
    assert not folder.exists() and upload.path.exists()
    with pytest.raises(InputError, match="no longer here"):
        store.job(key, job_id)
    clock.now += 61
    store.sweep()
    assert not list(store.root.iterdir())
    with pytest.raises(InputError, match="upload it again"):
        store.upload(key, upload.id)


def test_a_file_that_still_arrives_is_not_swept(tmp_path):
    clock = Clock()
    store = Store(60, tmp_path, clock)
    key = store.new_key()
    upload = store.new_upload(key, "a.wav", "a.wav")
    clock.now += 1000  # a slow line
    assert store.sweep() == 0 and upload.path.parent.exists()
    store.drop_upload(key, upload)  # it broke off
    store.sweep()
    assert not list(store.root.iterdir())


# The queue


def test_sessions_take_turns_and_places_tell_so():
    queue = JobQueue()
    for job in [
        make_job("a1"),
        make_job("a2"),
        make_job("a3"),
        make_job("b1", "b"),
        make_job("c1", "c"),
    ]:
        queue.add(job)
    assert queue.places() == {"a1": 1, "b1": 2, "c1": 3, "a2": 4, "a3": 5}
    order = [queue.take().id for _ in range(5)]
    assert order == ["a1", "b1", "c1", "a2", "a3"]
    assert queue.counts() == (0, 5)


def test_cancelling_takes_out_of_the_line_or_tells_to_stop():
    queue = JobQueue()
    waiting, running = make_job("w", "b"), make_job("r")
    queue.add(running)
    queue.add(waiting)
    assert queue.take() is running
    queue.cancel(waiting)
    queue.cancel(running)
    assert waiting.state == "cancelled" and queue.places() == {}
    assert running.state == "running" and running.stop.is_set()
    queue.release(running)
    taken = []
    thread = threading.Thread(target=lambda: taken.append(queue.take()))
    thread.start()
    queue.close()
    thread.join(5)
    assert taken == [None]


def test_the_time_left_comes_from_the_part_done():
    clock = Clock()
    job = make_job("a", clock=clock)
    assert view(job, {"a": 2})["place"] == 2 and view(job, {})["seconds_left"] is None
    job.state, job.started = "running", clock.now
    clock.now += 10
    job.part = 0.25
    assert view(job, {})["seconds_left"] == 30.0
    job.finish("failed", "no")
    assert view(job, {})["seconds_left"] is None and view(job, {})["result"] == {}


# Names


@pytest.mark.parametrize(
    ("given", "shown", "file"),
    [
        ("a/../../etc/passwd.WAV", "passwd.WAV", "passwd.wav"),
        ("C:\\music\\song.mp3", "song.mp3", "song.mp3"),
        ("", "recording", "recording"),
        ("..", "..", "_"),
        ("ein Lied - ü.flac", "ein Lied - ü.flac", "ein Lied - ü.flac"),
        ("a\nb\x1b[0m.wav", "ab[0m.wav", "ab[0m.wav"),
        ("x.we!rd$ending", "x.we!rd$ending", "x.werdendi"),
    ],
)
def test_names(given, shown, file):
    assert shown_name(given) == shown
    assert file_name(given).startswith(file) and "/" not in file_name(given)
    assert file_name(given) not in (".", "..")


# Media


def test_what_is_played_is_the_file_in_16_bits(tmp_path):
    rng = np.random.default_rng(1)
    sound = rng.integers(-30000, 30000, (5000, 2)).astype(np.int16)
    soundfile.write(tmp_path / "a.wav", sound, 44_100)
    made = prepare(tmp_path / "a.wav", tmp_path, "0")
    played = np.fromfile(tmp_path / made["play"], "<i2").reshape(-1, 2)
    assert np.array_equal(played, sound)
    assert (made["sample_rate"], made["channels"], made["frames"]) == (44_100, 2, 5000)
    assert (tmp_path / made["picture"]).read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert max(made["outline"]) == pytest.approx(np.abs(sound.astype(int)).max() / 32768, abs=1e-3)


@pytest.mark.parametrize(("rate", "channels", "played"), [(192_000, 1, 48_000), (4000, 6, 48_000)])
def test_what_browsers_do_not_play_is_made_so(tmp_path, rate, channels, played):
    soundfile.write(tmp_path / "a.wav", np.zeros((rate // 2, channels)), rate)
    made = prepare(tmp_path / "a.wav", tmp_path, "0")
    assert made["sample_rate"] == played and made["frames"] == played // 2
    assert made["channels"] == min(channels, 2)


def test_preparing_stops_when_told(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(1000), 8000)

    def stop() -> None:
        raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        prepare(tmp_path / "a.wav", tmp_path, "0", on_block=stop)


# Remix


def test_a_remix_is_the_weighted_sum_and_never_clips(tmp_path):
    rng = np.random.default_rng(2)
    stems = [rng.uniform(-0.4, 0.4, (3000, 2)).astype(np.float32) for _ in range(2)]
    paths = [tmp_path / f"{number}.wav" for number in range(2)]
    for path, stem in zip(paths, stems, strict=True):
        soundfile.write(path, stem, 44_100, subtype="FLOAT")
    made, _ = soundfile.read(remix(paths, [1.0, 0.5], tmp_path / "mix.wav"))
    assert np.allclose(made, stems[0] + 0.5 * stems[1], atol=2e-5)
    loud, _ = soundfile.read(remix(paths, [4.0, 4.0], tmp_path / "loud.wav"))
    assert 0.99 < np.abs(loud).max() <= 1.0


@pytest.mark.parametrize("text", ["", "1", "1,2,3", "x,1", "-1,1", "5,1", "nan,1", "0,0", "inf,1"])
def test_gains_that_are_none_are_refused(text):
    with pytest.raises(InputError):
        parse_gains(text, 2)


def test_a_zip_holds_the_files_as_they_are(tmp_path):
    import zipfile

    (tmp_path / "a").write_bytes(b"12")
    (tmp_path / "z.zip").write_bytes(b"".join(zip_blocks([("song/a.wav", tmp_path / "a")])))
    with zipfile.ZipFile(tmp_path / "z.zip") as archive:
        assert archive.read("song/a.wav") == b"12"


# What the page says of its models


def test_the_page_says_how_well_each_label_is_found() -> None:
    text = about(60.0, "default")
    assert "How well each label is found: clips held-out by text" in text
    rows = [line for line in text.split("\n") if line.count("|") == 5 and "SDR" not in line]
    sdr = [float(row.split("|")[3]) for row in rows if "---" not in row]
    assert "| label | mixtures | SDR (dB) | SDRi (dB) |" in text and len(sdr) > 30
    assert sdr == sorted(sdr, reverse=True)
    assert "| dog bark | 4 | " in text and "| mean | 26 |" not in text
    assert text.index("| speech |") < text.index("| helicopter |")  # the best first
