"""CRMs that read all the while: point look-ups and full scans, with a login that is a member of `crm_reader`.

What they may see: of every snapshot the same whole rows each time, and every customer who is in all of them. What they
may be told: that Postgres is down, while it is. Anything else is kept as a finding, also while it is down.
"""

from __future__ import annotations

import contextlib
import random
import secrets
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from local.postgres import Postgres
from segmentation import warehouse

ROLE = "chaos_reader"
_SCAN = """
select count(*), count(distinct snapshot_id), count(distinct as_of_date), min(snapshot_id),
    sum(hashtextextended(customer_id || segment_id || coalesce(strategy_id, '') || reasons::text, 0)::numeric)
from marketing.customer_segments
"""
_LOOK_UP = "select customer_id, segment_name, snapshot_id from marketing.customer_segments where customer_id = :id"
SETTLING_SECONDS = 1.0  # a server that has just come up refuses for a moment


def is_refusal(error: Exception) -> bool:
    """Whether an error says no more than that the server is not there, or is going or coming: no answer that could be
    wrong. By its SQLSTATE, class 57P; a connection that was not made or was lost has none."""
    code = getattr(error, "pgcode", None)
    return isinstance(error, warehouse.DOWN) and (code is None or code.startswith("57P"))


@dataclass
class Counts:
    """What the readers have done."""

    scans: int = 0
    look_ups: int = 0
    refused: int = 0


@dataclass
class Readers:
    """`look_ups` threads of one kind, `scans` of the other, from `start` to `stop`; `findings` are the bad answers."""

    postgres: Postgres
    look_ups: int = 2
    scans: int = 1
    counts: Counts = field(default_factory=Counts)
    findings: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._outages: list[list[float]] = []
        self._seen: dict[int, tuple] = {}
        self._leaving, self._left = 0, set[int]()
        self._customers: list[str] = []
        self._password = secrets.token_urlsafe(16)

    def start(self, customers: Sequence[str]) -> None:
        """Makes the login, and begins.

        :param customers: who is in every snapshot to come.
        """
        with warehouse.connect(self.postgres.url("warehouse"), autocommit=True) as connection:
            there = warehouse.fetch(connection, "select 1 from pg_roles where rolname = :name", {"name": ROLE})
            verb = "alter" if there else "create"
            name = warehouse.identifier(ROLE)
            warehouse.execute(connection, f"{verb} role {name} login password :word", {"word": self._password})
            warehouse.execute(connection, f"grant crm_reader to {name}")
        self._dsn = self.postgres.url("warehouse", ROLE, self._password)
        self._customers = list(customers)
        self._stop.clear()
        self._seen.clear()  # the numbers of snapshots begin anew with each pass
        self._leaving, self._left = 0, set()
        for number, work in enumerate([self._look_up] * self.look_ups + [self._scan] * self.scans):
            thread = threading.Thread(target=self._go_on, args=(work, random.Random(number)), daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """Ends the readers, and waits for them."""
        self._stop.set()
        for thread in self._threads:
            thread.join(30)
        self._threads.clear()

    @contextlib.contextmanager
    def outage(self) -> Iterator[None]:
        """Postgres is down, or is about to be, for as long as the block lasts."""
        window = [time.monotonic(), float("inf")]
        self._outages.append(window)
        try:
            yield
        finally:
            window[1] = time.monotonic() + SETTLING_SECONDS

    def somebody_leaves(self, persons: int) -> None:
        """So many are about to be erased: from now on each snapshot may lose them, once and all together, and nobody is
        looked up."""
        with self._lock:
            self._leaving = persons
            self._customers = []

    def _go_on(self, work, draw: random.Random) -> None:
        while not self._stop.is_set():
            opened = time.monotonic()
            try:
                with warehouse.connect(self._dsn, autocommit=True) as connection:
                    while not self._stop.is_set():
                        work(connection, draw)
            except Exception as error:  # whatever it is, it is what a CRM would have got
                if self._was_down(opened) and is_refusal(error):
                    self.counts.refused += 1
                else:
                    self._find(f"{type(error).__name__}: {error!s:.300}".replace("\n", " "))
                time.sleep(0.05)

    def _was_down(self, since: float) -> bool:
        now = time.monotonic()
        return any(begin <= now and since <= end for begin, end in self._outages)

    def _look_up(self, connection, draw: random.Random) -> None:
        customers = self._customers
        if customers:
            customer = draw.choice(customers)
            rows = warehouse.fetch(connection, _LOOK_UP, {"id": customer})
            self.counts.look_ups += 1
            if len(rows) != 1:
                self._find(f"{len(rows)} rows of customer {customer}", customer)
        time.sleep(0.01)

    def _scan(self, connection, draw: random.Random) -> None:
        [(rows, snapshots, days, snapshot, content)] = warehouse.fetch(connection, _SCAN)
        self.counts.scans += 1
        self.saw(rows, snapshots, days, snapshot, content)
        time.sleep(0.03)

    def saw(self, rows: int, snapshots: int, days: int, snapshot: int | None, content) -> None:
        """Judges what a scan has seen: one snapshot of one day, and of that snapshot always the same."""
        if (snapshots, days) != (1, 1):
            self._find(f"a scan saw {rows} rows of {snapshots} snapshots and {days} days")
            return
        with self._lock:
            before = self._seen.setdefault(snapshot, (rows, content))
            if self._leaving and rows == before[0] - self._leaving and snapshot not in self._left:
                self._left.add(snapshot)
                before = self._seen[snapshot] = (rows, content)
        if before != (rows, content):
            self._find(f"snapshot {snapshot} had {before[0]} rows, then {rows}, or others")

    def _find(self, words: str, customer: str | None = None) -> None:
        with self._lock:
            if customer is not None:  # told once; whether it may have left is for the reader of the report
                self._customers = [each for each in self._customers if each != customer]
            self.findings.append(words)
