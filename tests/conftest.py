"""One real Postgres for the whole run, and a fresh database of it for every test that asks for one."""

import itertools
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import hypothesis
import pytest

from local import load
from local.postgres import Postgres
from segmentation import warehouse

# Machines that run other tests beside it, and CI, take their time.
hypothesis.settings.register_profile("fenqun", deadline=None)
hypothesis.settings.load_profile("fenqun")

REPOSITORY = Path(__file__).resolve().parents[1]
_names = (f"warehouse_{number}" for number in itertools.count(1))


@pytest.fixture(scope="module")
def browser():
    """A headless Chromium, such as Debian's; `FENQUN_CHROMIUM` says where one is that is not on the path."""
    from playwright import sync_api as playwright

    program = os.environ.get("FENQUN_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    with playwright.sync_playwright() as started:
        try:
            chromium = started.chromium.launch(executable_path=program, args=["--no-sandbox"])
        except playwright.Error as error:
            pytest.skip(f"no Chromium: {str(error).splitlines()[0]}")
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory) -> Iterator[Postgres]:
    """A running server that nothing else uses; it ends with the session."""
    server = Postgres(tmp_path_factory.mktemp("postgres"), durable=False)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def new_warehouse(postgres_server) -> Callable[[], AbstractContextManager[str]]:
    """Makes a database with the shop's and the quarantine's empty tables, for as long as a block lasts; its DSN."""

    @contextmanager
    def make() -> Iterator[str]:
        name, admin = next(_names), postgres_server.url("postgres")
        with warehouse.connect(admin, autocommit=True) as connection:
            warehouse.execute(connection, f"create database {warehouse.identifier(name)}")
        dsn = postgres_server.url(name)
        with warehouse.connect(dsn) as connection:
            load.apply_contract(connection)
        yield dsn
        with warehouse.connect(admin, autocommit=True) as connection:
            warehouse.execute(connection, f"drop database {warehouse.identifier(name)} with (force)")

    return make


@pytest.fixture
def warehouse_dsn(new_warehouse) -> Iterator[str]:
    """The DSN of a database of this test's own."""
    with new_warehouse() as dsn:
        yield dsn


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of the real data sets: $FENQUN_REAL_DATA, or ../shared/data beside the repository."""
    return Path(os.environ.get("FENQUN_REAL_DATA") or REPOSITORY.parent / "shared" / "data")
