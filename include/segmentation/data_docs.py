"""
data_docs: what the gates found, as pages to look at: one per table and day, one per day, and one for all days.

The pages of the tables are Great Expectations' own; the others list them, from `quality.results`. They lie in the lake,
`{LAKE_URI}/data_docs/`, or where `SEGMENTATION_GATES__DATA_DOCS` says, and need no network to be looked at.
"""

import datetime as dt
import posixpath
from collections.abc import Sequence
from pathlib import Path

import jinja2

from segmentation import lake, settings, sql, warehouse
from segmentation.settings import Stores
from segmentation.verdict import Verdict

STYLE = Path(__file__).with_name("data_docs.css")
DAYS_LISTED = 90
_COLUMNS = ("day", "table", "checked_at", "run_id", "rows", "rules", "quarantined", "stops", "warnings", "newest")
_LIST = jinja2.Environment(autoescape=True).from_string("""<!DOCTYPE html>
<html lang="en"><head><meta charset="UTF-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{{ title }}</title><style>{{ style|safe }}</style></head>
<body><main>
<h1>{{ title }}</h1>
{% if up %}<p><a href="../index.html">all days</a></p>{% endif %}
<table><thead><tr><th>{{ "table" if up else "day" }}</th><th class="number">rows</th><th class="number">quarantined</th>
<th class="number">rules</th><th>broken</th><th>checked, UTC</th><th>run</th></tr></thead><tbody>
{% for line in lines %}
<tr><td><a href="{{ line.link }}">{{ line.name }}</a></td>
<td class="number">{{ "{:,}".format(line.rows) }}</td><td class="number">{{ "{:,}".format(line.quarantined) }}</td>
<td class="number">{{ line.rules }}</td>
<td>{% for rule in line.stops %}<div class="stop">✗ {{ rule }}</div>{% endfor %}
{% for rule in line.warnings %}<div class="warn">! {{ rule }}</div>{% endfor %}
{% if not line.stops and not line.warnings %}<span class="met">✓</span>{% endif %}</td>
<td class="when">{{ line.checked_at.strftime("%Y-%m-%d %H:%M:%S") }}</td><td>{{ line.run_id or "" }}</td></tr>
{% endfor %}
</tbody></table></main></body></html>
""")


def day_page(stores: Stores, day: dt.date) -> str:
    """Where the page of a day is."""
    return posixpath.join(settings.data_docs_of(stores.lake), f"{day}", "index.html")


def write(stores: Stores, verdicts: Sequence[Verdict], day: dt.date, run_id: str | None) -> str:
    """Writes the pages of tables that were checked, and the lists that lead to them, in the place of earlier ones.

    :param verdicts: what `quality.results` holds already.
    :returns: where the page of the day is.
    """
    from segmentation import expectations

    for verdict in verdicts:
        page = expectations.page(verdict.table, verdict.results, day, run_id, STYLE.read_text(encoding="utf-8"))
        lake.write_text(posixpath.join(settings.data_docs_of(stores.lake), f"{day}", f"{verdict.table}.html"), page)
    with warehouse.connect(stores.marketing) as connection:
        since = day - dt.timedelta(days=DAYS_LISTED)
        found = warehouse.fetch(connection, sql.read("quality", "attempts"), {"since": since})
    attempts = [dict(zip(_COLUMNS, row, strict=True)) for row in found]
    of_day = [
        {**each, "name": each["table"], "link": f"{each['table']}.html"} for each in attempts if each["day"] == day
    ]
    lake.write_text(day_page(stores, day), _page(f"Data quality of {day}", of_day, up=True))
    lake.write_text(
        posixpath.join(settings.data_docs_of(stores.lake), "index.html"),
        _page("Data quality", _by_day(attempts), up=False),
    )
    return day_page(stores, day)


def _page(title: str, lines: Sequence[dict], *, up: bool) -> str:
    return _LIST.render(title=title, lines=lines, up=up, style=STYLE.read_text(encoding="utf-8"))


def _by_day(attempts: Sequence[dict]) -> list[dict]:
    """One line per day, the latest day first."""
    lines = {}
    for each in attempts:
        blank = {"name": each["day"], "link": f"{each['day']}/index.html", "stops": [], "warnings": []}
        line = lines.setdefault(each["day"], blank | {"rows": 0, "quarantined": 0, "rules": 0, "checked_at": None})
        for count in ("rows", "quarantined", "rules"):
            line[count] += each[count]
        for kind in ("stops", "warnings"):
            line[kind] += [f"{each['table']}: {rule}" for rule in each[kind]]
        if line["checked_at"] is None or each["checked_at"] > line["checked_at"]:
            line |= {"checked_at": each["checked_at"], "run_id": each["run_id"]}
    return list(lines.values())
