"""The pictures of a learnt policy: how well effects rank customers, and what policies are worth. Matplotlib figures."""

from collections.abc import Mapping

from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from segmentation.pictures import canvas
from segmentation.policy_value import Curve, Value


def ranking(title: str, curves: Mapping[str, Curve], outcome: str) -> Figure:
    """What contacting a share of the customers brings, the greatest effects first, beside drawing them by lot.

    Curves of `policy_value.qini_curve`, or of `uplift_curve`; the legend tells the areas with their 95% intervals.

    :param curves: by the name of the arm, one or more.
    :param outcome: what is gained, with its unit, for the axis.
    :raises ValueError: there is no curve.
    """
    if not curves:
        raise ValueError("there is no curve to draw")
    figure, axes = canvas(title, 6.5, 5)
    for number, (name, curve) in enumerate(curves.items()):
        color = colormaps["tab10" if len(curves) <= 10 else "tab20"](number % 20)
        style = "-" if number < 20 else "--"
        told = f"{name}: area {curve.area:+.3g} ({curve.low:+.3g} to {curve.high:+.3g})"
        axes.plot(curve.share, curve.gain, style, color=color, label=told)
        axes.plot([0, 1], [0, curve.gain[-1]], color=color, linestyle=":", label="_by lot")
    axes.axhline(0, color="grey", linewidth=0.8)
    axes.set(xlabel="share of the customers contacted; dotted: drawn by lot", ylabel=outcome, xlim=(0, 1))
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.legend(loc="best", fontsize=8)
    return figure


def values(title: str, found: Mapping[str, Value], outcome: str) -> Figure:
    """Means with their 95% intervals, one below the other; a line at 0.

    :param found: by name, one or more, such as differences between policies.
    :raises ValueError: there is no value.
    """
    if not found:
        raise ValueError("there is no value to draw")
    figure, axes = canvas(title, 7, 1.6 + 0.5 * len(found))
    for place, value in enumerate(found.values()):
        axes.plot([value.low, value.high], [place, place], color="C0")
        axes.plot(value.mean, place, marker="o", color="C0")
        axes.annotate(f"{value.mean:+.3g}", (value.mean, place), (0, 6), textcoords="offset points", ha="center")
    axes.axvline(0, color="grey", linewidth=0.8)
    axes.set_yticks(range(len(found)), list(found))
    axes.set(xlabel=outcome, ylim=(len(found) - 0.4, -0.6))
    return figure
