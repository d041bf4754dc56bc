"""SRT and VTT in another shape than one line a subtitle, by Whisper's own writers."""

import io
from dataclasses import asdict

from separate.lyrics.result import Lyrics
from separate.lyrics.settings import SubtitleSettings


def reshaped(lyrics: Lyrics, format: str, subtitles: SubtitleSettings) -> str:
    """Return subtitles that are broken and highlighted as Whisper's flags ask.

    Args:
        lyrics: A line without the times of its words stays whole.
        format: srt or vtt.
        subtitles: The shape.
    """
    from whisper.utils import WriteSRT, WriteVTT

    segments = [
        {
            "start": line.start,
            "end": line.end,
            "text": line.text,
            "words": [
                {"word": f" {text}", "start": start, "end": end}
                for text, start, end in (
                    [(word.text, word.start, word.end) for word in line.words]
                    or [(line.text, line.start, line.end)]
                )
            ],
        }
        for line in lyrics.lines
    ]
    file = io.StringIO()
    writer = {"srt": WriteSRT, "vtt": WriteVTT}[format](".")
    writer.write_result({"segments": segments}, file=file, **asdict(subtitles))
    return file.getvalue()
