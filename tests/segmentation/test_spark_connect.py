"""A session over Spark Connect, against a real server: how a shop reaches its cluster."""

import os
import pathlib
import shutil
import socket
import subprocess
import sys
import time

import pytest

pyspark = pytest.importorskip("pyspark", reason="pyspark is not installed: `make dev-ready` installs it")
if shutil.which("java") is None:
    pytest.skip("there is no Java: `apt-get install default-jre-headless`", allow_module_level=True)

INCLUDE = str(pathlib.Path(__file__).resolve().parents[2] / "include")
# In a process of its own, as one process has Spark Connect or Spark itself, never both.
CLIENT = """
import sys
import pyarrow as pa
from segmentation import engine, settings

def doubled(batch):
    twice = pa.array([2 * n.as_py() for n in batch["n"]], pa.int64())
    return pa.RecordBatch.from_arrays([batch["b"], twice], ["b", "n"])

config = settings.Settings(engine="spark", spark=settings.Spark(master=sys.argv[1]))
with engine.session(sys.argv[2], config) as session:
    session.put("agg.things", pa.table({"a": [1, 2, 3], "b": ["x", "y", None]}))
    session.create("feat.sums", "select b, sum(a) as n from agg.things group by b")
    found = engine.table_of(session.batches("select b, n from feat.sums order by b", {}, doubled))
    path = sys.argv[2] + "/sums.parquet"
    import pyarrow.parquet as pq
    pq.write_table(found, path)
print(found.to_pylist())
print(engine.table_of(engine.mapped(path, doubled, found.schema, sys.argv[2], 2, config=config)).num_rows)
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The address of a Spark Connect server on this machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    home = pathlib.Path(pyspark.__file__).parent
    command = [
        str(home / "bin" / "spark-submit"),
        "--class",
        "org.apache.spark.sql.connect.service.SparkConnectServer",
        *("--master", "local[2]", "--conf", f"spark.connect.grpc.binding.port={port}"),
        *("--conf", "spark.connect.grpc.binding.address=127.0.0.1", "--conf", "spark.ui.enabled=false"),
        "spark-internal",
    ]
    env = os.environ | {"SPARK_HOME": str(home), "PYTHONPATH": INCLUDE, "PYSPARK_PYTHON": sys.executable}
    log = tmp_path_factory.mktemp("spark") / "server.log"
    with (
        log.open("wb") as file,
        subprocess.Popen(command, env=env, stdout=file, stderr=file, cwd=log.parent) as process,
    ):
        for _ in range(180):
            with socket.socket() as attempt:
                if attempt.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert process.poll() is None, log.read_text()[-2000:]
            time.sleep(0.5)
        yield f"sc://127.0.0.1:{port}"
        process.terminate()


def test_a_session_over_spark_connect(server, tmp_path):
    script = tmp_path / "client.py"
    script.write_text(CLIENT)
    done = subprocess.run(
        [sys.executable, str(script), server, str(tmp_path)],
        env=os.environ | {"PYTHONPATH": INCLUDE},
        capture_output=True,
        text=True,
        timeout=300,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    first, second = done.stdout.strip().splitlines()[-2:]
    assert first == "[{'b': 'x', 'n': 2}, {'b': 'y', 'n': 4}, {'b': None, 'n': 6}]"
    assert second == "3"
    assert list((tmp_path / "scratch").glob("*")) == []
