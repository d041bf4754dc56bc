"""Charts by matplotlib as SVG elements for a page: box plots and a scatter plot.

Text and axes have the page's colour (`currentColor`), so that a chart follows its light or dark
theme. matplotlib is in the extra `bench`.
"""

import html
import importlib.util
import io
import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_INCHES = (9.0, 4.0)
_INK = "#010203"  # replaced by the page's colour
_MARK = "#3b82c4"
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "separate",
    "font.family": "sans-serif",
    **dict.fromkeys(
        ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), _INK
    ),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.alpha": 0.15,
    "grid.color": _INK,
}


def have_matplotlib() -> bool:
    """Return whether charts can be drawn."""
    return importlib.util.find_spec("matplotlib") is not None


def box_plots(groups: Mapping[str, Sequence[float | None]], unit: str = "dB") -> str:
    """Draw a box for each group: quartiles, median, whiskers to 1.5 times the box, every value.

    Args:
        groups: Values by name; None and NaN are left out.
        unit: Unit of the values.

    Returns:
        An SVG element; empty without values.
    """
    finite = {
        name: [v for v in values if v is not None and math.isfinite(v)]
        for name, values in groups.items()
    }
    kept = {name: values for name, values in finite.items() if values}
    if not kept:
        return ""
    import matplotlib as mpl
    import numpy as np

    with mpl.rc_context(_STYLE):
        figure, axes = _axes()
        line = {"color": _MARK, "linewidth": 1.5}
        axes.boxplot(
            list(kept.values()), widths=0.5, showfliers=False, showcaps=False,
            boxprops=line, whiskerprops=line, medianprops={"color": _MARK, "linewidth": 2.5},
        )  # fmt: skip
        for place, values in enumerate(kept.values(), start=1):
            spread = np.linspace(-0.15, 0.15, len(values)) if len(values) > 1 else [0.0]
            axes.plot(place + np.asarray(spread), values, "o", color=_INK, alpha=0.45, ms=3)
            middle = float(np.median(values))
            axes.annotate(f"{middle:.1f}", (place + 0.27, middle), va="center")
        axes.set_xticks(range(1, len(kept) + 1), [_literal(name) for name in kept])
        axes.grid(axis="x", visible=False)
        axes.set_ylabel(unit)
        return _svg(figure, f"Box plots of {', '.join(kept)}")


def scatter(points: Sequence[tuple[str, float, float]], x_name: str, y_name: str) -> str:
    """Draw named points on a logarithmic x axis.

    Args:
        points: (name, x, y); points with x <= 0 and infinite or NaN values are left out.
        x_name: Label of the x axis.
        y_name: Label of the y axis.

    Returns:
        An SVG element; empty without points.
    """
    kept = [(n, x, y) for n, x, y in points if x > 0 and math.isfinite(x) and math.isfinite(y)]
    if not kept:
        return ""
    import matplotlib as mpl
    from matplotlib.ticker import LogLocator, StrMethodFormatter

    with mpl.rc_context(_STYLE):
        figure, axes = _axes()
        axes.set_xscale("log")
        axes.plot([x for _, x, _ in kept], [y for _, _, y in kept], "o", color=_MARK, ms=7)
        for name, x, y in kept:
            axes.annotate(_literal(name), (x, y), (7, -4), textcoords="offset points")
        axes.margins(x=0.2, y=0.15)
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.xaxis.set_minor_formatter("")
        axes.set_xlabel(x_name)
        axes.set_ylabel(y_name)
        return _svg(figure, f"{y_name} against {x_name}")


def _axes() -> "tuple[Figure, Axes]":
    from matplotlib.figure import Figure

    figure = Figure(_INCHES, layout="constrained")
    return figure, figure.add_subplot()


def _literal(name: str) -> str:
    """Escape a dollar sign, which begins a formula."""
    return name.replace("$", r"\$")


def _svg(figure: "Figure", label: str) -> str:
    """Return a figure as an element without header, size and namespaces."""
    stream = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(stream, format="svg", transparent=True, metadata=nothing)
    text = stream.getvalue()
    body = re.sub(r' xmlns(:\w+)?="[^"]*"', "", text[text.index("<svg") :])
    box = re.search(r'viewBox="[^"]*"', body)
    assert box is not None
    body = body[body.index(">") + 1 :].replace(_INK, "currentColor").replace("xlink:", "")
    return f'<svg {box.group()} role="img" aria-label="{html.escape(label)}">{body}'
