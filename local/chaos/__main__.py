"""`python -m local.chaos`: the command behind `make chaos`."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from local.chaos.command import DAYS, Asked, chaos
from local.errors import StackError


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0 all was recovered from, 1 something was not, 2 a mistake in what was asked, 130 Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m local.chaos", description=__doc__)
    parser.add_argument("--faults", type=int, default=100)
    parser.add_argument("--seed", type=int, help="of the lots; without it one is drawn, and told")
    parser.add_argument("--kinds", default="", help="with commas; without it all")
    parser.add_argument("--dags", default="", help="with commas; without it all")
    parser.add_argument("--stages", help="1: each task's function in a process of its own", default="")
    parser.add_argument("--days", type=int, default=DAYS, help="of the daily run, in each pass")
    parser.add_argument("--baseline", default="", help="a backup that an earlier run has made, to begin from")
    options = parser.parse_args(arguments)
    for each in (signal.SIGINT, signal.SIGTERM):  # either way what was started is stopped
        signal.signal(each, signal.default_int_handler)
    if options.faults < 1:
        parser.error("FAULTS must be a number from 1 on")
    if not 0 <= options.days <= DAYS:
        parser.error(f"the days must be a number from 0 to {DAYS}")
    asked = Asked(
        options.faults, options.seed, _listed(options.kinds), _listed(options.dags), options.days,
        has_airflow=not options.stages, baseline=Path(options.baseline).resolve() if options.baseline else None,
    )  # fmt: skip
    try:
        return chaos(asked)
    except StackError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


if __name__ == "__main__":
    sys.exit(main())
