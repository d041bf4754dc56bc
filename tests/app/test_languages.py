"""The interface in several languages: complete, without English left over, safe for long names."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

STATIC = Path(__file__).parents[2] / "app" / "static"
LANGUAGES = sorted((STATIC / "languages").glob("*.json"))
LITERAL = re.compile(r'"(?:[^"\\\n]|\\.)*"|`(?:[^`\\]|\\.)*`')
KEY = re.compile(r'\bt\(("(?:[^"\\]|\\.)*")')
WORDS = re.compile(r"[A-Z][a-z]{2,}|[a-z]{2,} [a-z]{2,}")
# Literals that nobody reads: names of keys, types and events, and what the server's
# warnings begin with.
UNSEEN = {"AbortError", "ArrowDown", "ArrowUp", "Enter", "Escape", "Backspace", "WAVEfmt ",
          "ArrowLeft", "ArrowRight", "Tab", "Space", "viewBox",
          "was not found"}  # fmt: skip
NO_TEXT = re.compile(r"(class: |\"class\", |class=|from |classList\.\w+\(|querySelector(All)?\()$")


def scripts() -> dict[str, str]:
    """The scripts without their comments."""
    texts = {path.name: path.read_text(encoding="utf-8") for path in STATIC.glob("*.js")}
    return {name: re.sub(r"(?m)(^|\s)//.*$", r"\1", text) for name, text in texts.items()}


KEYS = {json.loads(key) for text in scripts().values() for key in KEY.findall(text)}


def values_of(text: str) -> list[str]:
    return sorted(re.findall(r"\{\w+\}", text))


def test_there_are_seven_languages_with_english_as_the_source() -> None:
    assert [path.stem for path in LANGUAGES] == ["de", "es", "fr", "ja", "pt", "zh"]
    declared = re.search(r"export const languages = \{(.+?)\}", scripts()["languages.js"])
    assert declared is not None
    codes = set(re.findall(r"(\w\w):", declared[1]))
    assert codes == {"en", *(path.stem for path in LANGUAGES)}


@pytest.mark.parametrize("path", LANGUAGES, ids=lambda path: path.stem)
def test_every_text_exists_in_every_language(path: Path) -> None:
    found = json.loads(path.read_text(encoding="utf-8"))
    assert set(found) == KEYS
    for key, text in found.items():
        assert text.strip() and values_of(text) == values_of(key), key


@pytest.mark.parametrize("name", sorted(scripts()))
def test_no_english_is_left_in_the_scripts(name: str) -> None:
    text = scripts()[name]
    left = []
    for match in LITERAL.finditer(text):
        before, literal = text[: match.start()], match[0]
        plain = re.sub(r"\$\{.*?\}", "", literal[1:-1])
        is_key = before.endswith("t(")
        if is_key or plain in UNSEEN or NO_TEXT.search(before) or not WORDS.search(plain):
            continue
        left.append(literal)
    if name == "languages.js":  # names of languages, each in itself
        left = [literal for literal in left if literal.strip('"') not in
                ("English", "Deutsch", "Español", "Français", "Português")]  # fmt: skip
    assert not left


def test_the_look_knows_no_left_and_right() -> None:
    for path in STATIC.glob("*.css"):
        found = re.findall(
            r"(?:margin|padding|border)-(?:left|right)|text-align: (?:left|right)"
            r"|(?<![-\w])(?:left|right):",
            path.read_text(encoding="utf-8"),
        )
        assert not found, path.name


def test_the_browsers_language_is_chosen_and_can_be_switched(visit: Any) -> None:
    page = visit(locale="de-AT", choose="Datei wählen")
    assert page.evaluate("document.documentElement.lang") == "de"
    page.get_by_role("tab", name="Liedtext").wait_for()
    page.get_by_role("combobox", name="Sprache").first.select_option("ja")
    page.get_by_role("button", name="ファイルを選ぶ").first.wait_for()
    page.get_by_role("tab", name="歌詞").wait_for()
    page.reload()  # the choice stays
    page.get_by_role("button", name="ファイルを選ぶ").first.wait_for()


@pytest.mark.parametrize("language", ["de", "fr", "zh"])
def test_long_names_and_long_words_fit_a_phone(
    visit: Any, short_file: Path, tmp_path: Path, language: str
) -> None:
    words = json.loads((STATIC / "languages" / f"{language}.json").read_text(encoding="utf-8"))
    phone = {"width": 390, "height": 844}
    page = visit(locale=language, choose=words["Choose a file"], viewport=phone)
    long = tmp_path / f"{'Donaudampfschifffahrt' * 5} שלום.wav"
    long.write_bytes(short_file.read_bytes())
    page.get_by_label(words["Sound or video file"], exact=True).first.set_input_files(str(long))
    page.get_by_text("Donaudampf").first.wait_for()
    for direction in ("ltr", "rtl"):
        page.evaluate("direction => { document.documentElement.dir = direction; }", direction)
        wide = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        assert wide <= 0, direction
