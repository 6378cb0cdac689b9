"""Charts of a page: curves as SVG of a few kilobytes that takes the colours of the text around it, light or dark.

Drawn without matplotlib, a thousand in a second. To show something else, make :class:`Curve` objects of it and call
:func:`sketch`.
"""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.figures.axes import refuse_nothing

WIDTH, HEIGHT = 640, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 10, 10, 42
_N_TICKS = 6


@dataclass(frozen=True, eq=False)
class Curve:
    """A line of a chart.

    Parameters
    ----------
    x, y : ndarray (n,)
        Rising x; points that are not finite are left out.
    colour : str
        ``#rrggbb``.
    width : float
        Of the line, in pixels; 0: only what is filled.
    low, high : ndarray (n,), optional
        Ends of the band that is filled.
    has_points : bool
        Whether each point has a dot.
    """

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    colour: str
    width: float = 1.6
    low: NDArray[np.float64] | None = None
    high: NDArray[np.float64] | None = None
    has_points: bool = False


def sketch(curves: Sequence[Curve], *, x_label: str, y_label: str, name: str) -> str:
    """The curves in one pair of axes that hold them all, as an SVG element.

    Parameters
    ----------
    curves : sequence of Curve
        The last one on top.
    x_label, y_label : str
    name : str
        What a reader who does not see the chart is told.

    Returns
    -------
    str
        ``<svg …>…</svg>``; text is escaped.

    Raises
    ------
    SettingsError
        ``E-PICTURE``: no curve has a finite point.

    Examples
    --------
    >>> line = Curve(np.array([0.0, 1.0]), np.array([2.0, 3.0]), "#0072B2")
    >>> sketch([line], x_label="time (h)", y_label="a < b", name="course").count("a &lt; b")
    1
    """
    finite = [_finite(curve) for curve in curves]
    finite = [curve for curve in finite if len(curve.x)]
    refuse_nothing(finite, "points")
    x_axis = _Axis.around([curve.x for curve in finite], _LEFT, WIDTH - _RIGHT)
    heights = [part for curve in finite for part in (curve.y, curve.low, curve.high) if part is not None]
    y_axis = _Axis.around(heights, HEIGHT - _BOTTOM, _TOP)
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{html.escape(name)}">',
        f'<path d="M{_LEFT} {_TOP}V{HEIGHT - _BOTTOM}H{WIDTH - _RIGHT}" fill="none" stroke="currentColor"/>',
        *_ticks(x_axis, y_axis),
        f'<text x="{(WIDTH + _LEFT - _RIGHT) / 2:g}" y="{HEIGHT - 6}" text-anchor="middle">'
        f"{html.escape(x_label)}</text>",
        f'<text transform="translate(14 {(HEIGHT - _BOTTOM + _TOP) / 2:g})rotate(-90)" text-anchor="middle">'
        f"{html.escape(y_label)}</text>",
        *(part for curve in finite for part in _drawn(curve, x_axis, y_axis)),
        "</svg>",
    ]
    return "".join(parts)


def _finite(curve: Curve) -> Curve:
    """The curve without points that are not finite; a band is closed where its ends are not known."""
    is_there = np.isfinite(curve.x) & np.isfinite(curve.y)
    y = curve.y[is_there]
    low, high = (
        None if side is None else np.where(np.isfinite(side[is_there]), side[is_there], y)
        for side in (curve.low, curve.high)
    )
    return Curve(curve.x[is_there], y, curve.colour, curve.width, low, high, curve.has_points)


@dataclass(frozen=True)
class _Axis:
    """From values to pixels."""

    low: float
    high: float
    first_px: float
    last_px: float

    @classmethod
    def around(cls, values: Sequence[NDArray[np.float64]], first_px: float, last_px: float) -> _Axis:
        low, high = min(float(part.min()) for part in values), max(float(part.max()) for part in values)
        pad = 0.04 * (high - low) or 0.05 * abs(high) or 1.0
        return cls(low - pad if low != 0 else 0.0, high + pad, first_px, last_px)

    def px(self, values: Any) -> Any:
        return self.first_px + (values - self.low) / (self.high - self.low) * (self.last_px - self.first_px)

    def ticks(self) -> list[tuple[float, str]]:
        """Round values inside the axis with their pixels and texts."""
        from matplotlib.ticker import MaxNLocator

        places = MaxNLocator(_N_TICKS, steps=[1, 2, 2.5, 5, 10]).tick_values(self.low, self.high)
        step = float(places[1] - places[0])
        inside = [float(place) for place in places if self.low <= place <= self.high]
        return [(float(self.px(place)), _text(place, step)) for place in inside]


def _text(value: float, step: float) -> str:
    """A tick with as many decimals as its step needs."""
    if max(abs(value), step) >= 1e7 or step < 1e-5:
        return f"{value:.3g}"
    decimals = next(n for n in range(12) if abs(round(step, n) - step) < 1e-3 * step)
    return f"{value:.{decimals}f}".replace("-", "\N{MINUS SIGN}")


def _ticks(x_axis: _Axis, y_axis: _Axis) -> Iterator[str]:
    bottom = HEIGHT - _BOTTOM
    marks = "".join(f"M{px:.1f} {bottom}v4" for px, _ in x_axis.ticks())
    marks += "".join(f"M{_LEFT} {px:.1f}h-4" for px, _ in y_axis.ticks())
    yield f'<path d="{marks}" stroke="currentColor"/>'
    for px, text in x_axis.ticks():
        yield f'<text x="{px:.1f}" y="{bottom + 16}" text-anchor="middle">{text}</text>'
    for px, text in y_axis.ticks():
        yield f'<text x="{_LEFT - 7}" y="{px + 4:.1f}" text-anchor="end">{text}</text>'


def _drawn(curve: Curve, x_axis: _Axis, y_axis: _Axis) -> Iterator[str]:
    x, y = x_axis.px(curve.x), y_axis.px(curve.y)
    if curve.low is not None and curve.high is not None:
        around = np.concatenate([x, x[::-1]]), y_axis.px(np.concatenate([curve.high, curve.low[::-1]]))
        yield f'<path d="{_path(*around)}Z" fill="{curve.colour}" fill-opacity=".18"/>'
    if curve.width:
        yield f'<path d="{_path(x, y)}" fill="none" stroke="{curve.colour}" stroke-width="{curve.width:g}"/>'
    if curve.has_points:
        dots = "".join(f"M{left:.1f} {top:.1f}h0" for left, top in zip(x, y, strict=True))
        yield f'<path d="{dots}" stroke="{curve.colour}" stroke-width="7" stroke-linecap="round"/>'


def _path(x: NDArray[np.float64], y: NDArray[np.float64]) -> str:
    """Straight lines through the points, to a tenth of a pixel."""
    return "M" + "L".join(f"{left:.1f} {top:.1f}" for left, top in zip(x, y, strict=True))
