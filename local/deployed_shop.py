"""
The simulated shop of a deployment: profile `practice` of docker-compose.yaml runs this in a container, once a start.

    docker compose run --rm practice-shop                                          # the same by hand
    docker compose run --rm practice-shop python -m local.deployed_shop --grow 7   # the shop grows by a week

Reads SHOP_OWNER_URL, a login that owns the database, and PRACTICE_CUSTOMERS and PRACTICE_DAYS. A shop that is there
stays as it is, simulated or not.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from datetime import timedelta

from local import load
from local.simulator import practice_shop
from local.simulator.settings import LAST_DAY, Settings
from segmentation import warehouse


def main(arguments: Sequence[str] | None = None) -> None:
    """Ends with an error if there is a shop that is not a simulated one, or a number is out of its range."""
    parser = argparse.ArgumentParser(prog="python -m local.deployed_shop")
    parser.add_argument("--grow", metavar="DAYS", type=int, help="let the shop that is there grow by so many days")
    days = parser.parse_args(arguments).grow
    dsn = os.environ["SHOP_OWNER_URL"]
    try:
        if days is not None:
            print(f"the shop grew; its last day is {practice_shop.grow(dsn, days, _silent).last_day}")
        else:
            print(see_to_shop(dsn, int(os.environ["PRACTICE_CUSTOMERS"]), int(os.environ["PRACTICE_DAYS"])))
    except ValueError as error:
        sys.exit(f"{error}")


def see_to_shop(dsn: str, customers: int, days: int) -> str:
    """Makes a simulated shop where there is none; says what there is.

    :param customers: by the shop's last day.
    :param days: of history, which ends with LAST_DAY.
    :raises ValueError: schema `shop` holds customers that were not simulated; they were not touched.
    """
    with warehouse.connect(dsn) as connection:
        load.apply_contract(connection)
        shop = practice_shop.find(connection)
        [(is_filled,)] = warehouse.fetch(connection, "select exists (select from shop.customers)")
    if shop is not None:
        return f"the shop is there already; DAGs may run for {shop.last_day + timedelta(days=1)}"
    if is_filled:
        raise ValueError("schema shop holds customers that were not simulated: profile `practice` leaves them alone")
    settings = Settings.until(LAST_DAY, days, customers=customers)
    report = load.simulate(dsn, settings, days)
    return f"simulated {report.customers:,} customers, {report.orders:,} orders; DAGs may run for {report.day}"


def _silent(text: str, done: int, total: int) -> None:
    """The progress, which nobody watches."""


if __name__ == "__main__":
    main()
