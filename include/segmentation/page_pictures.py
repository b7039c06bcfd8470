"""
The Segments page's pictures, as coordinates: lines, bars, intervals and flows. The template draws them as SVG.

Colours are classes of the style sheet, so that they follow light and dark.
"""

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

LINE = (100, 28)
INTERVAL = (160, 20)
FLOW_WIDTH = 400
_BAR, _LABEL, _GAP, _THICKEST = 8, 18, 10, 220
_LEAST = 1.5
COLOURS = 8


class Move(NamedTuple):
    """Customers who went from one place to another.

    :param was: a name, unique among the places on the left.
    """

    was: str
    now: str
    customers: int


def line(values: Sequence[float | None]) -> str:
    """The points of a line through values at equal distances, from the lowest to the highest; "" for less than two.

    >>> line([10, None, 20])
    '2.0,26.0 98.0,2.0'
    """
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return ""
    width, height = LINE
    low, span = min(known), max(known) - min(known)
    points = []
    for number, value in enumerate(values):
        if value is not None:
            up = 0.5 if span == 0 else (value - low) / span
            points.append(f"{2 + number * (width - 4) / (len(values) - 1):.1f},{2 + (1 - up) * (height - 4):.1f}")
    return " ".join(points)


def bars(parts: Sequence[tuple[str, int]], width: int) -> list[dict[str, Any]]:
    """Parts of a whole side by side: `name`, `x`, `width`, `share`.

    >>> bars([("low", 30), ("high", 10)], 100)[1]
    {'name': 'high', 'x': 75.0, 'width': 25.0, 'share': 0.25}
    """
    whole, begun, found = sum(size for _, size in parts), 0, []
    for name, size in parts:
        if size:
            share = size / whole
            found.append({"name": name, "x": round(begun / whole * width, 1), "width": round(share * width, 1),
                          "share": share})  # fmt: skip
        begun += size
    return found


def interval(value: float, low: float, high: float, least: float, most: float) -> dict[str, float]:
    """Where a value, its interval and zero lie, on a scale that holds `least` to `most`."""
    least, most = min(least, 0.0), max(most, 0.0)
    span = (most - least) or 1.0

    def place(at: float) -> float:
        return round(6 + (at - least) / span * (INTERVAL[0] - 12), 1)

    return {"at": place(value), "low": place(low), "high": place(high), "zero": place(0.0)}


def flow(moves: Sequence[Move]) -> dict[str, Any]:
    """Places on the left and right, and ribbons between them, as thick as there are customers.

    :returns: `height`; `left`, `right`: `name`, `y`, `height` of each bar, the name above it; `ribbons`: `path`,
        `colour` (0 to `COLOURS` - 1, by the place on the left), `move`.
    """
    was = _sums(moves, "was")
    now = _sums(moves, "now")
    scale = _THICKEST / max(sum(was.values()), 1)
    left, right = _placed(was, scale), _placed(now, scale)
    colours = {name: number % COLOURS for number, name in enumerate(was)}
    from_, to = ({bar["name"]: bar["y"] for bar in side} for side in (left, right))
    ribbons = []
    for move in sorted(moves, key=lambda move: (list(was).index(move.was), list(now).index(move.now))):
        thick = move.customers * scale
        y, z = from_[move.was], to[move.now]
        from_[move.was], to[move.now] = y + thick, z + thick
        ribbons.append({"path": _ribbon(y, z, max(thick, _LEAST)), "colour": colours[move.was], "move": move})
    height = max(side[-1]["y"] + side[-1]["height"] for side in (left, right)) + 4 if moves else 0
    for bar in left:
        bar["colour"] = colours[bar["name"]]
    return {"height": round(height), "left": left, "right": right, "ribbons": ribbons}


def _sums(moves: Sequence[Move], side: str) -> dict[str, int]:
    """Place -> customers, the largest first."""
    found: dict[str, int] = {}
    for move in moves:
        name = getattr(move, side)
        found[name] = found.get(name, 0) + move.customers
    return dict(sorted(found.items(), key=lambda entry: -entry[1]))


def _placed(sums: Mapping[str, int], scale: float) -> list[dict[str, Any]]:
    y, found = 0.0, []
    for name, customers in sums.items():
        y += _LABEL
        height = max(customers * scale, _LEAST)
        found.append({"name": name, "short": shortened(name), "y": round(y, 1), "height": round(height, 1)})
        y += height + _GAP
    return found


def _ribbon(y: float, z: float, thick: float) -> str:
    left, right, middle = _BAR, FLOW_WIDTH - _BAR, FLOW_WIDTH / 2
    return (
        f"M{left},{y:.1f} C{middle:.0f},{y:.1f} {middle:.0f},{z:.1f} {right},{z:.1f} "
        f"L{right},{z + thick:.1f} C{middle:.0f},{z + thick:.1f} {middle:.0f},{y + thick:.1f} {left},{y + thick:.1f} Z"
    )


def shortened(name: str, widest: int = 27) -> str:
    """A name that fits; Chinese characters count for two.

    >>> shortened("recent loyal big spenders more orders", 20)
    'recent loyal big sp…'
    """
    width, kept = 0, ""
    for letter in name:
        width += 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        if width > widest - 1 and len(kept) + 1 < len(name):
            return f"{kept}…"
        kept += letter
    return kept
