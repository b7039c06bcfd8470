"""docs/DAGs.md is made from the DAGs, and says what they do."""

from local import dag_docs, docs


def test_the_page_is_that_of_the_dags(monkeypatch):
    page = dag_docs.dags()
    assert docs.DAGS.read_text(encoding="utf-8") == page, "run `make docs`"
    monkeypatch.setenv("PYTHONHASHSEED", "7")  # what Airflow keeps in sets comes in another order
    assert dag_docs.dags() == page


def test_a_dag_tells_its_parameters_its_tasks_and_what_it_announces():
    page = dag_docs.dags()
    export = page.partition("\n## export_segment\n")[2].partition("\n## ")[0]
    assert "**Write a segment to a file**, on request." in export
    assert "| `format` | `csv`, `parquet` | `csv` |" in export
    assert "[clients.md](clients.md)" in export
    daily = page.partition("\n## segment_customers_daily\n")[2].partition("\n## ")[0]
    assert "`0 5 * * *`" in daily
    assert "    extract[[extract]]\n    extract --> validate_raw\n" in daily
    assert "`publish` announces the asset `customer_segments`." in daily
    assert "| `reload_since` | date-time |" in daily
