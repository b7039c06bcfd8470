"""
A page per campaign, for marketers: what was done, what it changed, how sure that is, what it cost. And a list of them.

They lie among the Data Docs, in `campaigns/`, need no network to be looked at, and tell of no single customer. They
are made from `marketing.campaign_results`, so they say what that says.
"""

import posixpath
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2

from segmentation import campaign_effects, lake, settings, sql, warehouse
from segmentation.campaign_results import file_of
from segmentation.data_docs import STYLE
from segmentation.settings import Stores

Row = Mapping[str, Any]
FOLDER = "campaigns"
_PAGE = jinja2.Environment(autoescape=True).from_string(
    Path(__file__).with_name("campaign_page.html").read_text(encoding="utf-8")
)
_LIST = jinja2.Environment(autoescape=True).from_string("""<!DOCTYPE html>
<html lang="en"><head><meta charset="UTF-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Campaigns</title><style>{{ style|safe }}</style></head>
<body><main><h1>Campaigns</h1>
<table><thead><tr><th>campaign</th><th>began</th><th>ended</th><th>status</th><th>evaluated as of</th></tr></thead>
<tbody>
{% for line in lines %}<tr><td><a href="{{ line.link }}">{{ line.campaign_name }}</a></td>
<td>{{ line.starts_at.strftime("%Y-%m-%d") }}</td><td>{{ line.ends_at.strftime("%Y-%m-%d") }}</td>
<td>{{ line.status }}</td><td>{{ line.as_of_date }}</td></tr>
{% endfor %}</tbody></table></main></body></html>
""")
_STATUS = {
    "running": "It is still running: what is below will change.",
    "closed": "Its window is closed; late orders and returns may still change a little.",
    "final": "The results are final.",
}
_WHAT = {
    "conversion": "share of customers who ordered",
    "revenue": "revenue per customer",
    "margin": "margin per customer",
    "satisfaction": "satisfaction, 1 to 5",
    "unsubscribe": "share of customers who unsubscribed",
}
_DESIGNS = {
    "randomised": ("Against the customers who were held out at random",
                   "The difference is what the campaign changed, give or take its interval."),
    "observational": ("Against customers who were not contacted",
                      "Nobody was held out. Customers were made comparable by what is known of them; what is not known "
                      "can make this wrong, and no interval tells how wrong."),
    "before_after": ("Before and after, of the contacted themselves",
                     "A change, not an effect: the season, and why these customers were chosen, are in it."),
}  # fmt: skip
_HEADS = ("arm", "metric", "segment", "customers", "compared with", "treatment", "compared", "difference", "95 %", "p",
          "corrected p", "detectable", "note")  # fmt: skip
_SHARES = ("conversion", "unsubscribe")
_LEFT, _RIGHT, _STEP = 300, 610, 26


def write(stores: Stores, campaigns: Collection[str]) -> str:
    """Writes the pages of campaigns, and the list of all, in the place of earlier ones.

    :param campaigns: ids; those without results get no page.
    :returns: where the list is.
    """
    folder = posixpath.join(settings.data_docs_of(stores.lake), FOLDER)
    with warehouse.connect(stores.marketing) as connection:
        statement = sql.read("campaign_results", "of_campaigns")
        rows = warehouse.fetch_dicts(connection, statement, {"campaigns": sorted(campaigns)})
        listed = warehouse.fetch_dicts(connection, sql.read("campaign_results", "all_campaigns"))
    of_campaign: dict[str, list[Row]] = {}
    for row in rows:
        of_campaign.setdefault(row["campaign_id"], []).append(row)
    for campaign_id, its_rows in of_campaign.items():
        lake.write_text(posixpath.join(folder, file_of(campaign_id)), page(its_rows))
    lines = [{**line, "link": file_of(line["campaign_id"])} for line in listed]
    index = posixpath.join(folder, "index.html")
    lake.write_text(index, _LIST.render(lines=lines, style=_style()))
    return index


def page(rows: Sequence[Row]) -> str:
    """One campaign's page.

    :param rows: its rows of `marketing.campaign_results`, one or more.
    """
    measured = [row for row in rows if row["design"] != campaign_effects.BEFORE_AFTER]
    of_all = [row for row in measured if row["segment_id"] is None]
    has_margin = any(row["metric"] == "margin" and best(row) for row in of_all)
    metric = "margin" if has_margin else "revenue"
    shown = ("conversion", metric, "unsubscribe", "satisfaction")
    pictures = [_picture(measured, name) for name in ("conversion", metric)]
    return _PAGE.render(
        campaign=rows[0],
        style=_style(),
        status=_STATUS[rows[0]["status"]],
        warnings=sorted({row["note"] for row in of_all if row["metric"] == "conversion" and not row["is_trusted"]}),
        done=[_done(row) for row in of_all if row["metric"] == "conversion"],
        changed=[_changed(row) for name in shown for row in of_all if row["metric"] == name],
        money=[_money(row) for row in of_all if row["metric"] == metric],
        pictures=[picture for picture in pictures if picture["marks"]],
        segments=_segments(measured),
        checks=list(_checks(of_all)),
        tables=list(_tables(rows)),
    )


def best(row: Row) -> tuple[float, float, float, float] | None:
    """(difference, low, high, p-value) to go by: the adjusted ones where there are any. None: it cannot be told."""
    names = ("adjusted_difference", "adjusted_low", "adjusted_high", "adjusted_p_value")
    if row["adjusted_difference"] is None:
        names = ("difference", "difference_low", "difference_high", "p_value")
    found = tuple(row[name] for name in names)
    return found if found[0] is not None and found[1] is not None else None


def _done(row: Row) -> str:
    size, others = row["treatment_customers"], row["control_customers"]
    if size is None:
        return f"Arm {row['arm']}: {row['note']}."
    if row["design"] == campaign_effects.RANDOMISED:
        return f"Arm {row['arm']}: {size:,} customers, beside {others:,} who were held out at random."
    return (
        f"Arm {row['arm']}: {size:,} customers. Nobody was held out; they are compared with {others:,} customers who "
        "were not contacted, weighted so that the two groups are alike before."
    )


def _changed(row: Row) -> str:
    what, told = f"Arm {row['arm']}, {_WHAT[row['metric']]}", best(row)
    if told is None:
        return f"{what}: {row['note'] or 'nothing varied, so no effect can be told'}."
    difference, low, high, _ = told
    between = f"between {_signed(row, low)} and {_signed(row, high)} (95 %)"
    means = f"{_plain(row, row['treatment_mean'])} against {_plain(row, row['control_mean'])}"
    if low <= 0 <= high:
        least = row["minimum_detectable"]
        found = f" An effect of {_size(row, least)} or more would most likely have been found." if least else ""
        return f"{what}: no effect can be told. {means}; the effect is {between}.{found}"
    word = "more" if difference > 0 else "less"
    return f"{what}: {word}. {means}; the effect is {_signed(row, difference)}, {between}."


def _money(row: Row) -> str:
    cost, told = f"Arm {row['arm']} cost {row['cost']:,.2f}", best(row)
    if told is None:
        return f"{cost}. What it brought cannot be told: {row['note'] or 'nothing varied'}."
    what = "margin" if row["metric"] == "margin" else "revenue (before the cost of the goods, which is not known)"
    if row["roi"] is None:
        return f"{cost}, so there is no return on it; {what}: {_signed(row, told[0])} per customer."
    return (
        f"{cost}. For each 1.00 spent it brought {row['roi'] + 1:,.2f} of additional {what}, between "
        f"{row['roi_low'] + 1:,.2f} and {row['roi_high'] + 1:,.2f} (95 %); it pays from 1.00 on."
    )


def _segments(rows: Iterable[Row]) -> str:
    hidden = [row["checks"].get("segments_not_told", 0) for row in rows]
    several = any(row["segment_id"] is not None for row in rows)
    if not several and not any(hidden):
        return ""
    smallest = settings.load().publish.smallest_group
    few = f" {max(hidden)} of them are not told: fewer than {smallest} customers in an arm, or next to such a one."
    return (
        "Customers are in the segment of the day before their contact. With many segments some look good by chance: "
        "go by the corrected p, below 0.05."
    ) + (few if any(hidden) else "")


def _checks(rows: Sequence[Row]) -> Iterable[dict[str, Any]]:
    seen = set()
    for row in rows:
        checks = row["checks"]
        for each in checks.get("draw", []):
            if each["check"] not in seen:
                seen.add(each["check"])
                p = "not tested, too few groups" if each["p_value"] is None else f"p = {each['p_value']:.2g}"
                yield {
                    "told": f"{each['check']}: as drawn at random? {p}",
                    "is_met": each["is_met"] if each["p_value"] is not None else None,
                }
        if "draw" in checks and checks["intended_shares"] is None and "intended" not in seen:
            seen.add("intended")
            yield {"told": "sizes of the arms: not tested, nobody has said which were intended", "is_met": None}
        compared = checks.get("comparison")
        if compared and row["arm"] not in seen:
            seen.add(row["arm"])
            limit, share = settings.load().evaluate, compared["compared_share"]
            yield {
                "told": f"arm {row['arm']}: {share:.0%} of the contacted have their like among the others",
                "is_met": share >= limit.least_overlap,
            }
            yield {
                "told": f"arm {row['arm']}: the groups lie at most {compared['unlike']:.2f} standard deviations apart",
                "is_met": compared["unlike"] <= limit.most_unlike,
            }


def _picture(rows: Sequence[Row], metric: str) -> dict[str, Any]:
    """Dots and lines in the coordinates of the page's drawing, 860 wide."""
    told = [(row, best(row)) for row in rows if row["metric"] == metric]
    told = [(row, each) for row, each in told if each is not None]
    ends = [0.0, *(end for _, each in told for end in each[1:3])]
    least, span = min(ends), max(max(ends) - min(ends), 1e-12)

    def place(value: float) -> float:
        return round(_LEFT + (value - least) / span * (_RIGHT - _LEFT), 1)

    marks = [
        {
            "name": f"{row['arm']}, {row['segment_name'] or 'all'}"[:44],
            "y": 20 + _STEP * number,
            "at": place(each[0]), "low": place(each[1]), "high": place(each[2]),
            "colour": "#8a949e" if each[1] <= 0 <= each[2] else "#1b6e3c" if each[0] > 0 else "#b3261e",
            "told": "{:+.2f} ({:+.2f} to {:+.2f})".format(*(_scale(row) * end for end in each[:3])),
        }
        for number, (row, each) in enumerate(told)
    ]  # fmt: skip
    return {
        "title": f"Difference in {_WHAT[metric]}{', in points of a hundred' if metric in _SHARES else ''}",
        "marks": marks,
        "zero": place(0.0),
        "height": 46 + _STEP * len(marks),
    }


def _tables(rows: Sequence[Row]) -> Iterable[dict[str, Any]]:
    for design, (title, about) in _DESIGNS.items():
        lines = [_line(row) for row in rows if row["design"] == design]
        if lines:
            yield {"title": title, "about": about, "heads": _HEADS, "lines": lines}


def _line(row: Row) -> list[str]:
    told = best(row)
    between = f"{_signed(row, told[1])} to {_signed(row, told[2])}" if told else ""
    return [
        row["arm"], row["metric"], row["segment_name"] or "all",
        _count(row["treatment_customers"]), _count(row["control_customers"]),
        _plain(row, row["treatment_mean"]), _plain(row, row["control_mean"]),
        _signed(row, told[0] if told else row["difference"]), between, _p(told[3] if told else None),
        _p(row["corrected_p_value"]), _plain(row, row["minimum_detectable"]), row["note"] or "",
    ]  # fmt: skip


def _plain(row: Row, value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.2%}" if row["metric"] in _SHARES else f"{value:,.2f}"


def _signed(row: Row, value: float | None) -> str:
    if value is None:
        return ""
    return f"{100 * value:+.2f} points" if row["metric"] in _SHARES else f"{value:+,.2f}"


def _size(row: Row, value: float) -> str:
    return f"{100 * value:.2f} points" if row["metric"] in _SHARES else f"{value:,.2f}"


def _scale(row: Row) -> int:
    return 100 if row["metric"] in _SHARES else 1


def _count(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def _p(value: float | None) -> str:
    if value is None:
        return ""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _style() -> str:
    return STYLE.read_text(encoding="utf-8")
