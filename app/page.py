"""The Gradio page: tabs that hold our own web components.

The components are in `static/`; the browser draws them, and they load nothing from other hosts.
"""

import html
import json
from importlib.metadata import version
from typing import Any

import gradio as gr

from separate.app.about import about
from separate.app.config import MOST_QUERIES
from separate.app.http.api import add_api
from separate.app.jobs.service import Service
from separate.settings import FORMATS

_TITLE = "separate: type what you want to hear"
_MODULES = ("studio", "lyrics", "batch", "frame")
_SANS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "Liberation Sans",
         "sans-serif")  # fmt: skip
_MONO = ("ui-monospace", "SFMono-Regular", "DejaVu Sans Mono", "monospace")
# In front of the others: queries that most people come for.
_FIRST = ("vocals", "drums", "bass", "guitar", "piano", "female vocals", "backing vocals")


def make_page(service: Service) -> gr.Blocks:
    """Build the page and register the HTTP API."""
    with gr.Blocks(title=_TITLE, analytics_enabled=False) as page:
        gr.HTML("<separate-frame></separate-frame>", padding=False)
        with gr.Tabs(elem_id="tabs"):
            with gr.Tab("Separate", id="separate"):
                gr.HTML("<separate-studio></separate-studio>", padding=False)
            with gr.Tab("Lyrics", id="lyrics"):
                gr.HTML("<separate-lyrics></separate-lyrics>", padding=False)
            with gr.Tab("Batch", id="batch"):
                gr.HTML("<separate-batch></separate-batch>", padding=False)
            with gr.Tab("About", id="about"):
                gr.Markdown(
                    about(service.config.keep_minutes, service.config.settings.model),
                    elem_id="about-text",
                )
        add_api(service)
    return page


def theme() -> Any:
    """Return a theme whose fonts are the visitor's own."""
    return gr.themes.Base(font=list(_SANS), font_mono=list(_MONO))


def head(service: Service) -> str:
    """Return what goes into the head: style, scripts, and what they need to know."""
    config = service.config
    root = config.root_path
    mark = version("separate-audio")
    facts = {
        "root": root,
        "maxBytes": config.max_upload_bytes,
        "maxMinutes": config.max_minutes,
        "keepMinutes": config.keep_minutes,
        "mostQueries": MOST_QUERIES,
        "formats": FORMATS,
        "suggestions": _ordered(service.suggestions),
    }
    content = html.escape(json.dumps(facts), quote=True)
    tags = [
        f'<meta name="separate-facts" content="{content}">',
        '<meta name="color-scheme" content="light dark">',
        f'<link rel="icon" href="{root}/separate-static/icon.svg" type="image/svg+xml">',
        f'<link rel="stylesheet" href="{root}/separate-static/page.css?v={mark}">',
    ]
    tags += [
        f'<script type="module" src="{root}/separate-static/{name}.js"></script>'
        for name in _MODULES
    ]
    return "\n".join(tags)


def _ordered(words: list[str]) -> list[str]:
    first = [word for word in _FIRST if word in words]
    return first + [word for word in words if word not in _FIRST and word != "other"]
