"""The page in a real browser, as a musician uses it."""

import hashlib
import json
import os
import re
import signal
import subprocess
import time
import zipfile
from pathlib import Path
from typing import Any

import requests
from app_helpers import COMMAND
from waiting import wait_for

from separate import example_path

WAIT = 90_000


def choose(page: Any, path: Path) -> None:
    page.get_by_label("Sound or video file", exact=True).first.set_input_files(str(path))


def ask(page: Any, *words: str) -> None:
    field = page.get_by_role("combobox", name="What do you want to hear?").first
    for word in words:
        field.fill(word)
        field.press("Enter")


def go(page: Any) -> None:
    page.get_by_role("button", name="Separate", exact=True).click()


def sha256(path: str | Path) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def command_line(out: Path, path: Path, *options: str) -> dict[str, str]:
    """What the command line makes of a file: hashes by name."""
    command = [*COMMAND, "run", str(path), "-o", str(out), "--threads", "1", *options]
    subprocess.run(command, check=True, timeout=300, capture_output=True, cwd=out.parent)
    return {file.name: sha256(file) for file in (out / path.stem).iterdir()}


def test_drums_of_the_example_are_those_of_the_command_line(visit, tmp_path):
    page = visit()
    choose(page, example_path())
    page.get_by_text("demo.ogg", exact=True).wait_for()
    ask(page, "drums")
    go(page)
    page.get_by_role("heading", name="demo.ogg: drums").wait_for(timeout=WAIT)
    expected = command_line(tmp_path / "out", example_path(), "-q", "drums")
    for name, file in (("drums", "drums.wav"), ("The rest", "residual.wav")):
        with page.expect_download() as download:
            page.get_by_role("link", name=f"Download {name} ({file})").click()
        assert download.value.suggested_filename == f"demo - {file}"
        assert sha256(download.value.path()) == expected[file]
    with page.expect_download() as download:
        page.get_by_role("link", name="Download all (zip)").click()
    with zipfile.ZipFile(download.value.path()) as archive:
        found = {n: hashlib.sha256(archive.read(n)).hexdigest() for n in archive.namelist()}
    assert found == {f"demo/{name}": value for name, value in expected.items()}

    assert re.search(r"presence \d+ %", page.locator(".track").first.inner_text())
    mix = page.get_by_role("link", name="Download this mix")
    assert "gains=1,0" in mix.get_attribute("href")  # the rest is muted at first
    page.get_by_role("button", name="Mute The rest").click()
    page.get_by_role("slider", name="Volume of drums").fill("50")
    assert "gains=0.5,1" in mix.get_attribute("href")
    page.get_by_role("button", name="Solo The rest").click()
    assert "gains=0,1" in mix.get_attribute("href")
    with page.expect_download() as download:
        mix.click()
    assert sha256(download.value.path()) == expected["residual.wav"]  # alone, at full volume

    page.get_by_role("button", name="Play", exact=True).click()
    page.wait_for_function(
        "Number(document.querySelector('separate-studio').shadowRoot"
        ".querySelector('.seek').value) > 20"
    )
    page.get_by_role("radio", name="Original").check()
    page.get_by_role("button", name="Pause").click()
    page.get_by_text("Spectrograms, before and after").click()
    picture = page.get_by_alt_text("Spectrogram of before: the recording")
    page.wait_for_function("image => image.naturalWidth === 720", arg=picture.element_handle())

    page.reload()  # the result is still there
    page.get_by_role("heading", name="demo.ogg: drums").wait_for()


def test_cancel_frees_the_place_for_the_next(visit, server, long_file, short_file):
    first, second = visit(), visit()
    choose(first, long_file)
    ask(first, "vocals", "drums", "bass", "guitar")
    go(first)
    first.get_by_text(re.compile(r"Separating: \d+ %")).wait_for()
    os.kill(server.worker(), signal.SIGSTOP)  # however fast it is, it is not done before the cancel
    choose(second, short_file)
    ask(second, "drums")
    go(second)
    second.get_by_text("You are next in the queue").wait_for()
    with first.expect_request("**/cancel") as request:
        first.get_by_role("button", name="Cancel").click()
    request.value.response()  # its times are known from then on
    # The next one is served when the first really stopped.
    wait_for(lambda: not requests.get(f"{server.url}health", timeout=5).json()["waiting"])
    assert time.time() - request.value.timing["startTime"] / 1000 < 2.0
    first.get_by_text("Stopped.").wait_for()
    second.get_by_role("heading", name="short.wav: drums").wait_for(timeout=WAIT)
    address = second.get_by_role("link", name="Download drums").get_attribute("href")
    seen = first.evaluate("async (address) => (await fetch(address)).status", address)
    assert seen == 404  # somebody else's result


def test_a_recording_becomes_an_upload(visit):
    page = visit(permissions=["microphone"])
    page.get_by_role("button", name="Record").first.click()
    page.get_by_role("button", name="Stop (0:01)").first.wait_for()
    page.get_by_role("button", name="Stop").first.click()
    page.get_by_text("recording.wav", exact=True).first.wait_for()
    assert re.search(r"0:0[1-5] · 4\d(\.\d)? kHz", page.locator(".drop-full").first.inner_text())


def test_without_a_microphone_the_page_says_so(visit):
    page = visit()
    denied = "() => Promise.reject(new Error('denied'))"
    page.evaluate(f"() => {{ navigator.mediaDevices.getUserMedia = {denied} }}")
    page.get_by_role("button", name="Record").first.click()
    page.get_by_text("The microphone can't be used").first.wait_for()


def test_sources_are_found_and_taken_with_a_click(visit, short_file):
    page = visit()
    choose(page, short_file)
    page.get_by_role("button", name="Find sources in this recording").click()
    found = page.get_by_role("list", name="Found in this recording").get_by_role("button")
    found.first.wait_for(timeout=WAIT)
    name = found.first.inner_text().splitlines()[0]
    assert re.search(r"\d+ %", found.first.inner_text())
    found.first.click()
    page.get_by_role("button", name=f"Remove {name}").wait_for()


def test_a_corrupt_upload_is_told_and_the_page_lives_on(visit, tmp_path):
    page = visit()
    broken = tmp_path / "<img src=x onerror=alert(1)>.wav"
    broken.write_bytes(b"RIFF\x24\x00\x00\x00WAVEfmt nonsense" * 50)
    choose(page, broken)
    alert = page.get_by_role("alert").filter(has_text="onerror")
    alert.wait_for()
    assert alert.inner_text().startswith("<img src=x onerror=alert(1)>.wav: ")
    assert page.locator("img[onerror]").count() == 0
    page.get_by_role("button", name="Try the example").click()
    page.get_by_text("demo.ogg", exact=True).wait_for()


def test_it_works_with_the_keyboard_alone(visit):
    page = visit()
    page.get_by_role("tab", name="Separate").focus()
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.evaluate(ACTIVE) == "Try the example":
            break
    page.keyboard.press("Enter")
    page.get_by_text("demo.ogg", exact=True).wait_for()
    page.wait_for_function(f"({ACTIVE})() === 'What do you want to hear?'")
    page.keyboard.type("fem")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Remove female vocals").wait_for()
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate(ACTIVE) == "Separate":
            break
    page.keyboard.press("Space")
    cancel = page.get_by_role("button", name="Cancel")
    cancel.wait_for()
    cancel.press("Enter")
    page.get_by_text("Stopped.").wait_for()


# The words that a screen reader says of the element that has the focus.
ACTIVE = """() => {
  let node = document.activeElement;
  while (node.shadowRoot?.activeElement) node = node.shadowRoot.activeElement;
  return node.getAttribute('aria-label') || node.labels?.[0]?.textContent || node.textContent;
}"""

NAMELESS = """() => {
  const bad = [];
  const look = (root) => root.querySelectorAll('*').forEach((node) => {
    if (node.shadowRoot) look(node.shadowRoot);
    if (!node.matches('button, a, input, select, [role=progressbar]')) return;
    const name = node.getAttribute('aria-label') || node.labels?.[0]?.textContent
      || node.textContent.trim();
    if (!name && node.getRootNode() !== document) bad.push(node.outerHTML);
  });
  look(document);
  return bad;
}"""

CONTRAST = """(part) => {
  const node = document.querySelector('separate-studio').shadowRoot.querySelector(part);
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const bright = (colour) => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].map((v) => v / 255)
      .map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  let behind = node;
  const ground = () => getComputedStyle(behind).backgroundColor;
  while (ground() === 'rgba(0, 0, 0, 0)') behind = behind.parentNode;
  const [a, b] = [getComputedStyle(node).color, ground()].map(bright);
  return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
}"""


def test_every_tab_at_phone_width_in_both_lights(visit):
    for scheme in ("light", "dark"):
        page = visit(viewport={"width": 390, "height": 844}, color_scheme=scheme)
        for part in (".drop-title", ".hint", ".pill", ".quiet"):
            assert page.evaluate(CONTRAST, part) >= 4.5, (scheme, part)
        for tab in ("Separate", "Lyrics", "Batch", "About"):
            page.get_by_role("tab", name=tab).click()
            wide = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
            assert wide <= 0, tab
        assert page.evaluate(NAMELESS) == []
        assert page.evaluate("document.body.classList.contains('dark')") is (scheme == "dark")
        page.get_by_role("button", name=re.compile("Switch to")).click()
        assert page.evaluate("document.body.classList.contains('dark')") is (scheme == "light")


def test_the_documentation_of_the_api_asks_no_other_host(visit):
    page = visit()
    assert page.get_by_role("button", name=re.compile("API")).count() == 0  # Gradio's own
    page.get_by_role("tab", name="About").click()
    link = page.get_by_role("link", name="HTTP API")
    link.wait_for()
    page.goto(link.evaluate("link => link.href"))
    page.get_by_role("heading", name="POST /upload").wait_for()


def test_a_batch_gives_one_zip(visit, short_file, tmp_path):
    page = visit()
    page.get_by_role("tab", name="Batch").click()
    second = tmp_path / "second.wav"
    second.write_bytes(short_file.read_bytes())
    broken = tmp_path / "broken.wav"
    broken.write_text("no sound at all")
    batch = page.locator("separate-batch")
    files = [str(short_file), str(second), str(broken)]
    batch.get_by_label("Sound or video files").set_input_files(files)
    field = batch.get_by_role("combobox", name="What do you want to hear?")
    field.fill("drums")
    batch.get_by_role("button", name="Separate all").click()
    link = batch.get_by_role("link", name="Download all (zip)")
    link.wait_for(timeout=WAIT)
    assert batch.get_by_text(re.compile("^Done: 0:03")).count() == 2
    assert "broken.wav: " in batch.locator(".failed").inner_text()
    with page.expect_download() as download:
        link.click()
    with zipfile.ZipFile(download.value.path()) as archive:
        names = sorted(archive.namelist())
    assert names == [f"{t}/{s}.wav" for t in ("second", "short") for s in ("drums", "residual")]


WORDS = [{"start": t, "end": t + 0.4, "text": text, "probability": 1.0} for t, text in
         ((0.0, "hello"), (0.6, "there"))]  # fmt: skip
LINES = [
    {"start": 0.0, "end": 1.0, "text": "hello there", "words": WORDS},
    {"start": 1.2, "end": 2.9, "text": "<b>second</b> line", "words": []},
]


def test_the_lyrics_follow_the_song_and_can_be_edited(visit, short_file):
    """The page alone: what Whisper finds is put in, since its weights may not be here."""
    page = visit()
    saved = []

    def submit(route: Any) -> None:
        if route.request.method != "POST":
            return route.continue_()
        asked = {**json.loads(route.request.post_data), "kind": "separate", "queries": ["drums"]}
        return route.continue_(post_data=json.dumps(asked))

    def result(route: Any) -> None:
        state = route.fetch().json()
        if state["state"] == "done":
            state["result"].update({"lyrics": {"lines": LINES}, "note": None})
        route.fulfill(json=state)

    def save(route: Any) -> None:
        saved.append(json.loads(route.request.post_data)["lines"])
        route.fulfill(body="[00:00.00] hello there")

    page.route("**/jobs", submit)
    page.route("**/jobs/*", result)
    page.route("**/results/*/lyrics/lrc", save)
    page.get_by_role("tab", name="Lyrics").click()
    tab = page.locator("separate-lyrics")
    tab.get_by_label("Sound or video file").set_input_files(str(short_file))
    tab.get_by_role("button", name="Write down the lyrics").click()
    lines = tab.get_by_role("list", name="Lyrics").get_by_role("listitem")
    lines.first.wait_for(timeout=WAIT)
    tab.get_by_role("button", name="Play", exact=True).click()
    tab.locator("li[aria-current=true]", has_text="hello there").wait_for()
    tab.locator(".sung", has_text="there").wait_for()
    tab.locator("li[aria-current=true]", has_text="<b>second</b> line").wait_for()
    tab.get_by_role("button", name="Edit the lines").click()
    tab.get_by_role("textbox", name="Line 2, 0:01").fill("the second line")
    tab.get_by_role("button", name="Done editing").click()
    tab.get_by_role("button", name="0:01: the second line").click()  # goes there
    with page.expect_download() as download:
        tab.get_by_role("button", name="lrc").click()
    assert download.value.suggested_filename == "short.lrc"
    assert saved == [["hello there", "the second line"]]


def test_without_whisper_the_tab_says_what_to_run(visit):
    page = visit()
    words = "Lyrics need a Whisper model. On the server, run: separate models get whisper-base"
    page.route("**/lyrics", lambda route: route.fulfill(json={"missing": words}))
    page.reload()
    page.get_by_role("tab", name="Lyrics").click()
    notice = page.locator("separate-lyrics .notice")
    notice.wait_for()
    assert notice.inner_text() == words
