"""`python -m local.soak`: the command behind `make soak`."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence

from local.errors import StackError
from local.soak import course, page


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0 nothing grew that should not, 1 something did or a run failed, 130 Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m local.soak", description=__doc__)
    parser.add_argument("--days", type=int, default=98, help="after the first")
    parser.add_argument("--customers", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=20_260_630, help="of the simulated shop")
    parser.add_argument("--page", action="store_true", help="write docs/soak.md from docs/soak.json, and run nothing")
    options = parser.parse_args(arguments)
    if options.days < course.LEAST_DAYS:
        parser.error(f"it takes {course.LEAST_DAYS} days to tell growth from filling up")
    for each in (signal.SIGINT, signal.SIGTERM):  # either way what was started is stopped
        signal.signal(each, signal.default_int_handler)
    try:
        if not options.page:
            course.soak(options.customers, options.days, options.seed, page.keep)
    except StackError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0 if page.write() else 1


if __name__ == "__main__":
    sys.exit(main())
