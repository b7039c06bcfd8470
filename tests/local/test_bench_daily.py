"""`make bench`: every stage is measured, and the page says what the JSON beside it says."""

import datetime as dt
import json
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from local.bench.daily import airflow, command, on_spark, page, process, script, shop, work
from segmentation import lake, tables
from segmentation_airflow import stages

MACHINE = {"processor": "a processor", "cores": 2, "memory_gib": 4, "system": "Linux", "python": "3", "packages": {}}


def of_size(size: int, seconds: float) -> dict:
    """What `command` keeps of a size whose every stage takes so long."""
    each = {"seconds": seconds, "process_seconds": seconds + 1, "cpu": seconds, "database_cpu": 0.5, "peak_mib": 100,
            "others": 0.1, "load": 1.0, "rows": size}  # fmt: skip
    steps = {"read_sql": 100.0, page.LEARNING: 900.0}
    rivals = {page.SCRIPT: {**each, "seconds": 1_000.0, "peak_mib": 5_000, "steps": steps, "most_mib": 9_000},
              page.IN_POSTGRES: {**each, "seconds": 5 * seconds}}  # fmt: skip
    every = dict.fromkeys(work.STAGES, each)
    return {
        "shop": {"rows": dict.fromkeys(("orders", "order_items", "events"), 10 * size), "days": 30},
        "first": {"stages": {"extract": each}, "floor": {**each, "seconds": seconds / 2}},
        "day": {"stages": every, "at": "2026-07-02 00:00:00"},
        "floors": {"floors": {name: {**each, "seconds": seconds / 4} for name in ("extract", "score", "publish")}},
        "rivals": {"rivals": rivals},
    }


def measured(**sizes: dict) -> dict:
    return {"machine": MACHINE, "made_at": "2026-07-02", "trained_at": 10, "sizes": sizes}


def test_the_stages_are_the_tasks_of_the_dag():
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(str(command.REPOSITORY / "dags" / "segment_customers_daily.py"), bundle_name="dags-folder")
    tasks = set(bag.dags["segment_customers_daily"].task_ids) - {"train_models_weekly"}
    assert set(work.STAGES) == tasks
    assert len(stages.ENTITIES) == 8


def test_the_slope_of_what_grows_with_the_square_is_two():
    told = measured(**{"100": of_size(100, 1.0), "1000": of_size(1000, 100.0)})
    assert page.slope(told, "score") == pytest.approx(2)
    assert page.slope(measured(**{"100": of_size(100, 1.0)}), "score") is None


def test_the_page_has_a_row_of_every_stage_and_of_every_rival(tmp_path):
    page.write(page.merged(measured(**{"100": of_size(100, 1.0), "1000": of_size(1000, 10.0)}), tmp_path), tmp_path)
    lines = (tmp_path / "benchmarks.md").read_text().splitlines()
    for name in work.STAGES:
        assert sum(line.startswith(f"| {name} | 10.0 | 10.0 | 0.5 | 100 | 1,000 | 100 |") for line in lines) == 1
    assert "| score | 1.0 | 1.0 | 0.5 | 100 | 100 | 100 | 0.25 | 4.0x | 0.1 |" in lines
    assert "| 1,000 | the script, learning each day | 1000.0 | 160.0 | 6.2 | 5,000 | 100 | 50.0 |" in lines
    assert "| 1,000 | the script, its forest learnt before | 100.0 | 160.0 | 0.6 | 5,000 | 100 | 50.0 |" in lines
    assert "| 100 | extract | 100 | 1.0 | 1.0 | 100 | 100 | 0.5 | 2.00x |" in lines
    assert (tmp_path / "pictures" / "benchmarks.png").stat().st_size > 10_000
    assert max(map(len, (line for line in lines if not line.startswith(("|", "-", "The"))))) <= 125


def test_what_was_said_to_have_been_changed_stays(tmp_path):
    told = measured(**{"100": of_size(100, 1.0)})
    change = {"what": "Less of it.", "why": "It was too much.", "figures": [["seconds", "2", "1"]]}
    (tmp_path / "benchmarks.json").write_text(json.dumps({"changes": [change]}))
    page.write(page.merged(told, tmp_path), tmp_path)
    page.write(page.merged(told, tmp_path), tmp_path)
    text = (tmp_path / "benchmarks.md").read_text()
    assert "**Less of it.** It was too much." in text
    assert "| seconds | 2 | 1 |" in text


def test_the_page_is_written_again_from_what_is_there(tmp_path):
    change = {"what": "Less.", "why": "It was too much: `make less of it`. " * 20, "figures": [["seconds", "2", "1"]]}
    told = {**measured(**{"100": of_size(100, 1.0), "1000": of_size(1000, 10.0)}), "changes": [change]}
    (tmp_path / "benchmarks.json").write_text(json.dumps(told))
    page.main(tmp_path)
    lines = (tmp_path / "benchmarks.md").read_text().splitlines()
    assert "| seconds | 2 | 1 |" in lines
    told_of = [line for line in lines if "much" in line]
    assert max(map(len, told_of)) <= 120
    assert " ".join(told_of).count("`make less of it`") == sum(line.count("`make less of it`") for line in lines) == 20
    assert json.loads((tmp_path / "benchmarks.json").read_text()) == told


def test_a_target_that_was_missed_is_told_so():
    found = of_size(1_000_000, 1.0)
    told = {target: (text, is_reached) for target, text, is_reached in page.targets(found)}
    assert told["scoring and publishing within 2x of the sum of their floors"] == ("4.0x", False)
    assert told["10 times faster than the script that people write"] == ("62.5x", True)
    assert told["Airflow's own share below 25 %"] == ("", None)
    found["rivals"]["rivals"][page.SCRIPT] = {"too_large": True, "peak_mib": 900, "most_mib": 850}
    told = {target: (text, is_reached) for target, text, is_reached in page.targets(found)}
    assert told["10 times faster than the script that people write"][1] is None
    assert told["10 times less memory"] == ("more than 9.0x", None)
    lines = list(page.text(measured(**{"1000000": found})))
    assert "| 10 times less memory | more than 9.0x | cannot be told |" in lines
    assert "| Airflow's own share below 25 % |  | not measured |" in lines


def test_ten_million_are_told_of_from_the_run_that_measured_them(tmp_path):
    small, ten = measured(**{"100": of_size(100, 1.0)}), measured(**{"10000000": of_size(10_000_000, 140.0)})
    lines = list(page.text(small))
    assert "| 10 million customers in 40 minutes |  | not measured |" in lines
    page.write(page.merged(ten, tmp_path, "benchmarks-ten"), tmp_path, "benchmarks-ten")
    page.write(page.merged(small, tmp_path), tmp_path)
    alone = "37 min 36 s without Airflow, one stage after the other, 30 days of history"
    assert f"| 10 million customers in 40 minutes | {alone} | yes |" in (tmp_path / "benchmarks-ten.md").read_text()
    text = (tmp_path / "benchmarks.md").read_text()
    linked = " ([benchmarks-ten.md](benchmarks-ten.md))"
    assert f"| 10 million customers in 40 minutes | {alone}{linked} | yes |" in text
    most = f"100 MiB (validate_strategies), 30 days of history{linked}"
    assert f"| 10 million customers in 6 GiB | {most} | yes |" in text
    assert '`make bench SIZES="10000000" DAYS=30 PAGE=benchmarks-ten`' in (tmp_path / "benchmarks-ten.md").read_text()
    before = {each.name: each.read_text() for each in tmp_path.glob("*.*")}
    assert len(before) == 4
    page.main(tmp_path)
    assert {each.name: each.read_text() for each in tmp_path.glob("*.*")} == before


def test_airflows_own_share_lies_between_two_ways_of_counting():
    after = {"extract": [], "score": ["extract"], "recommend": ["extract"], "publish": ["recommend", "score"]}
    work_of = {"extract": 10.0, "score": 20.0, "recommend": 30.0, "publish": 5.0}
    share = airflow.own_share({"seconds": 80.0, "after": after}, work_of)
    assert (share["sum_of_work"], share["least"]) == (65, 15)
    assert (share["longest_path"], share["most"]) == (45, 35)


def test_of_the_lake_of_the_shop_before_only_what_models_learnt_from_stays(tmp_path):
    day = dt.date(2026, 7, 1)
    for table in (tables.TRAINING_EXAMPLES, tables.DEMAND, tables.CUSTOMER_FEATURES, tables.CUSTOMER_SCORES):
        lake.write_text(lake.path(f"{tmp_path}", table, day), "rows")
    (tmp_path / "a file").write_text("")
    shop.clear(tmp_path)
    left = {file.stem for file in tmp_path.rglob("*") if file.is_file()}
    assert left == {"training_examples", "demand"}
    assert [folder.name for folder in tmp_path.iterdir()] == ["feat"]


def test_what_takes_too_much_memory_is_ended_and_what_does_not_is_not():
    def holding(mib: int, seconds: int) -> subprocess.Popen:
        return subprocess.Popen([sys.executable, "-c", f"b = b'x' * ({mib} << 20); import time; time.sleep({seconds})"])

    assert process._watched(holding(300, 300), 200) > 200
    assert process._watched(holding(10, 0), 200) is None


def test_what_a_process_and_all_below_it_use_is_told_together():
    below = "b = b'x' * (200 << 20); [n * n for n in range(20_000_000)]; import time; time.sleep(3)"
    above = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {below!r}])"
    working = subprocess.Popen([sys.executable, "-c", above])
    tree = process._Tree(working.pid)
    working.wait()
    tree.join()
    assert tree.peak_mib > 200
    assert tree.cpu > 0.3


@pytest.mark.parametrize(("pyspark", "java", "told"), [(None, "java", "pyspark"), ("pyspark", None, "a Java")])
def test_without_spark_or_java_it_is_said_before_hours_of_other_work(monkeypatch, tmp_path, pyspark, java, told):
    monkeypatch.setattr(command, "Bench", lambda *_: pytest.fail("something was begun"))
    monkeypatch.setattr("importlib.util.find_spec", lambda _: pyspark)
    monkeypatch.setattr("shutil.which", lambda _: java)
    with pytest.raises(SystemExit, match=told):
        command.main(["--sizes", "300", "--spark", "--folder", str(tmp_path)])


def test_rows_of_two_engines_are_held_against_each_other(tmp_path):
    rows = {
        "customer_id": ["a", "b", "c"],
        "spend": [1.0, 2e9, None],
        "city": ["x", None, "y"],
        "tags": [[1], [], None],
    }
    files = [str(tmp_path / "day=1" / "left"), str(tmp_path / "right")]  # as a lake's file, and one taken out of it
    (tmp_path / "day=1").mkdir()

    def compared(**changes):
        for file, content in zip(files, (rows, {**rows, **changes}), strict=True):
            pq.write_table(pa.table(content), file)
        return on_spark.compare(*files)

    same = {"rows": 3, "alone": 0, "values": 9, "differ": 0, "columns": []}
    assert compared() == same
    assert compared(spend=[1.0, 2e9 + 0.1, None]) == same, "beyond the ninth digit"
    assert compared(spend=[1.0, 2e9 + 9, 0.0]) == {**same, "differ": 2, "columns": ["spend"]}
    assert compared(city=["x", "z", "y"], tags=[[2], [], None]) == {**same, "differ": 2, "columns": ["city", "tags"]}
    assert compared(customer_id=["a", "b", "d"])["alone"] == 2
    assert compared(city=[1, None, 2])["columns"] == ["city"], "another type"


def test_what_a_cluster_would_take_is_calculated_from_what_a_further_customer_costs():
    points = [(10, 99.0, 99.0), (100, 20.0, 30.0), (1_100, 90.0, 130.0)]
    assert on_spark.cost(points, 10_000, 10) == pytest.approx(20 + 0.1 * 10_000 / 10)
    assert on_spark.cost(points[1:2], 10_000, 10) == pytest.approx(0.3 * 10_000 / 10)


def test_the_page_tells_of_spark_where_it_was_measured():
    told = {"duckdb": {"seconds": 10.0, "cpu": 10.0, "peak_mib": 100},
            "spark": {"seconds": 30.0, "cpu": 50.0, "peak_mib": 4_000},
            "compared": {"rows": 9, "alone": 0, "values": 1_000, "differ": 2, "columns": ["spend"]}}  # fmt: skip
    small, large = ({**of_size(size, 10.0), "spark": {"stages": dict.fromkeys(on_spark.STAGES, told)}} for size in
                    (100, 1000))  # fmt: skip
    lines = list(on_spark.page([(100, small)]))
    row = "| 100 | score | 10.0 | 30.0 | 3.0 | 10.0 | 50.0 | 100 | 4,000 | 1,000 | 2 |"
    assert row in lines
    assert "| 1,000,000,000 | score | 4,166,666.7 min | 130,208.3 min | 16,276.0 min |" in lines
    assert any(line.startswith("| 1,000,000,000 | score | ") for line in on_spark.page([(100, small), (1000, large)]))
    assert not list(on_spark.page([(100, of_size(100, 10.0))]))
    assert row in page.text(measured(**{"100": small}))


def test_sparks_part_of_an_earlier_run_stays_and_says_where_it_was_measured(tmp_path):
    told = {"duckdb": {"seconds": 10.0, "cpu": 10.0, "peak_mib": 100},
            "spark": {"seconds": 30.0, "cpu": 50.0, "peak_mib": 4_000},
            "compared": {"rows": 9, "alone": 0, "values": 1_000, "differ": 0, "columns": []}}  # fmt: skip
    spark = {"stages": dict.fromkeys(on_spark.STAGES, told), "at": "2026-07-01 12:00:00"}
    page.write(measured(**{"100": {**of_size(100, 1.0), "spark": spark}}), tmp_path)
    later = {**measured(**{"100": of_size(100, 2.0)}), "machine": {**MACHINE, "processor": "a new one"}}
    for _ in range(2):
        page.write(page.merged(later, tmp_path), tmp_path)
        lines = (tmp_path / "benchmarks.md").read_text().splitlines()
        assert "| 100 | score | 10.0 | 30.0 | 3.0 | 10.0 | 50.0 | 100 | 4,000 | 1,000 | 0 |" in lines
        assert f"Of an earlier run at 100 customers: 2026-07-01 12:00:00 UTC, on {MACHINE['processor']}." in lines
        later["machine"] = {**MACHINE, "processor": "a newer one"}
    anew = {**later, "sizes": {"100": {**of_size(100, 2.0), "spark": {**spark, "at": "2026-07-09 12:00:00"}}}}
    assert not any("earlier run" in line for line in page.text(page.merged(anew, tmp_path)))


def test_spans_that_overlap_are_counted_once():
    assert airflow.covered([(5, 6), (0, 2), (1, 3), (1, 2)]) == 4
    assert airflow.before_each({"a": ["b", "c"], "b": ["c"], "c": []}) == {"a": [], "b": ["a"], "c": ["a", "b"]}


def test_the_script_tells_of_everyone_who_had_signed_up(warehouse_dsn):
    from segmentation import warehouse

    with warehouse.connect(warehouse_dsn) as connection:
        warehouse.run_script(connection, _SHOP)
    found = script.main(warehouse_dsn, dt.date(2026, 7, 2))
    assert found["rows"] == 40
    assert set(found["steps"]) >= {"read_sql", page.LEARNING, "to_sql"}


_SHOP = """
insert into shop.customers (customer_id, signed_up_at, updated_at)
select 'c' || n, '2025-01-01', '2025-01-01' from generate_series(1, 40) as n;
insert into shop.customers (customer_id, signed_up_at, updated_at) values ('late', '2026-07-02', '2026-07-02');
insert into shop.orders (order_id, customer_id, ordered_at, status, total_amount, updated_at)
select 'o' || n, 'c' || n % 40 + 1, timestamptz '2026-07-01' - n * interval '1 day', 'paid', n, now()
from generate_series(1, 200) as n where n > 100 or n % 40 < 20;
insert into shop.events (event_id, customer_id, occurred_at, event_type, updated_at)
select 'e' || n, 'c' || n % 40 + 1, timestamptz '2026-07-01' - n * interval '1 hour', 'search', now()
from generate_series(1, 200) as n;
"""


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_two_small_shops_are_measured_from_end_to_end(tmp_path):
    command.main(["--sizes", "300", "400", "--days", "200", "--folder", str(tmp_path / "stack"), "--to", str(tmp_path)])
    told = json.loads((tmp_path / "benchmarks.json").read_text())["sizes"]["400"]
    assert list(told["day"]["stages"]) == list(work.STAGES)
    published = told["day"]["stages"]["publish"]
    assert (
        200 < published["rows"] == told["day"]["stages"]["score"]["rows"] == told["floors"]["floors"]["publish"]["rows"]
    )
    assert set(told["floors"]["floors"]) == set(work.FLOORS) - {"extract of everything"}
    assert set(told["rivals"]["rivals"]) == set(work.RIVALS)
    assert all(each["peak_mib"] > 50 and each["process_seconds"] > each["seconds"] for each in
               told["day"]["stages"].values())  # fmt: skip
    assert (tmp_path / "benchmarks.md").read_text().count("\n| ") > 40
