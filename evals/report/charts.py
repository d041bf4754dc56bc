"""Charts as SVG text: box plots and a scatter; comes in: numbers; goes out: markup for a page.

Colours come from the page's style sheet, so that a chart follows its light or dark theme.
"""

import html
import math
from collections.abc import Mapping, Sequence

import numpy as np

_WIDTH, _HEIGHT = 720, 320
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 16, 28, 48


def box_plots(groups: Mapping[str, Sequence[float]], unit: str = "dB") -> str:
    """Draw a box for each group: quartiles, median, whiskers to 1.5 times the box, every point.

    Args:
        groups: Values by name; what is no number does not count.
        unit: Of the values.

    Returns:
        An SVG element, or nothing where there are no values.
    """
    kept = {name: _numbers(values) for name, values in groups.items()}
    kept = {name: values for name, values in kept.items() if values.size}
    if not kept:
        return ""
    axis = _Axis(np.concatenate(list(kept.values())), _HEIGHT - _BOTTOM, _TOP)
    step = (_WIDTH - _LEFT - _RIGHT) / len(kept)
    parts = axis.grid(unit)
    for index, (name, values) in enumerate(kept.items()):
        parts += _box(values, _LEFT + (index + 0.5) * step, min(60.0, step * 0.5), axis)
        parts.append(_text(_LEFT + (index + 0.5) * step, _HEIGHT - _BOTTOM + 20, name))
    return _svg(parts, f"Box plots of {', '.join(kept)}")


def _box(values: np.ndarray, x: float, width: float, axis: "_Axis") -> list[str]:
    low, middle, high = np.percentile(values, [25, 50, 75])
    inside = values[(values >= low - 1.5 * (high - low)) & (values <= high + 1.5 * (high - low))]
    top, bottom = axis(high), axis(low)
    parts = [
        _line(x, axis(inside.min()), x, axis(inside.max()), "whisker"),
        f'<rect class="box" x="{x - width / 2:.1f}" y="{top:.1f}" width="{width:.1f}"'
        f' height="{max(1.0, bottom - top):.1f}"/>',
        _line(x - width / 2, axis(middle), x + width / 2, axis(middle), "median"),
        _text(x + width / 2 + 4, axis(middle) + 4, f"{middle:.1f}", anchor="start"),
    ]
    offsets = np.linspace(-0.3, 0.3, len(values)) * width if len(values) > 1 else [0.0]
    for value, offset in zip(values, offsets, strict=True):
        parts.append(f'<circle class="dot" cx="{x + offset:.1f}" cy="{axis(value):.1f}" r="2"/>')
    return parts


def scatter(points: Sequence[tuple[str, float, float]], x_name: str, y_name: str) -> str:
    """Draw named points, the x axis logarithmic.

    Args:
        points: (name, x > 0, y); points that are no numbers are left out.
        x_name: What x is.
        y_name: What y is.

    Returns:
        An SVG element, or nothing where there are no points.
    """
    kept = [(n, x, y) for n, x, y in points if x > 0 and math.isfinite(x) and math.isfinite(y)]
    if not kept:
        return ""
    across = _Axis(np.log10([x for _, x, _ in kept]), _LEFT + 10, _WIDTH - _RIGHT - 120)
    up = _Axis(np.array([y for _, _, y in kept]), _HEIGHT - _BOTTOM, _TOP)
    parts = up.grid(y_name)
    for tick in _log_ticks(across.low, across.high):
        x = across(math.log10(tick))
        parts.append(_line(x, _TOP, x, _HEIGHT - _BOTTOM, "grid"))
        parts.append(_text(x, _HEIGHT - _BOTTOM + 18, f"{tick:g}"))
    parts.append(_text((_LEFT + _WIDTH) / 2, _HEIGHT - 8, x_name))
    for name, x, y in kept:
        left, top = across(math.log10(x)), up(y)
        parts.append(f'<circle class="point" cx="{left:.1f}" cy="{top:.1f}" r="5"/>')
        parts.append(_text(left + 8, top + 4, name, anchor="start"))
    return _svg(parts, f"{y_name} against {x_name}")


class _Axis:
    """Maps values to positions, with some room at both ends."""

    def __init__(self, values: np.ndarray, start: float, end: float) -> None:
        low, high = float(np.min(values)), float(np.max(values))
        room = 0.08 * (high - low) or 0.5
        self.low, self.high = low - room, high + room
        self._start, self._end = start, end

    def __call__(self, value: float) -> float:
        part = (float(value) - self.low) / (self.high - self.low)
        return self._start + part * (self._end - self._start)

    def grid(self, name: str) -> list[str]:
        """Horizontal lines at round values, with their labels."""
        parts = [_text(8, _TOP - 14, name, anchor="start")]
        for tick in _ticks(self.low, self.high):
            y = self(tick)
            parts.append(_line(_LEFT, y, _WIDTH - _RIGHT, y, "grid"))
            parts.append(_text(_LEFT - 8, y + 4, f"{tick:g}", anchor="end"))
        return parts


def _ticks(low: float, high: float) -> list[float]:
    """About six round values between two."""
    raw = (high - low) / 6
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw)
    first, last = math.ceil(low / step), math.floor(high / step)
    return [round(index * step, 10) for index in range(first, last + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    """Three round values or more between two powers of ten, as few as can be."""
    decades = range(math.floor(low) - 1, math.ceil(high) + 1)
    for digits in ((1,), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 8)):
        ticks = [digit * 10.0**decade for decade in decades for digit in digits]
        inside = [tick for tick in ticks if low <= math.log10(tick) <= high]
        if len(inside) > 2:
            return inside
    return _ticks(10**low, 10**high)


def _numbers(values: Sequence[float | None]) -> np.ndarray:
    return np.array([v for v in values if v is not None and math.isfinite(v)], dtype=float)


def _svg(parts: Sequence[str], label: str) -> str:
    body = "\n".join(parts)
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{html.escape(label)}">'
        f"\n{body}\n</svg>"
    )


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _text(x: float, y: float, words: str, anchor: str = "middle") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{html.escape(words)}</text>'
