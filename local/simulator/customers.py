"""What the shop knows of its customers: demographics that tell the latent type only in part, and consents."""

import numpy as np
import pyarrow as pa

from local.simulator import campaigns, columns, draws
from local.simulator.clock import DAY, FOREVER
from local.simulator.latent_types import GENDERS, INCOMES, SOURCES, along_types, cumulated
from local.simulator.population import Memory, Population

CITIES = ("Shanghai", "Beijing", "Chengdu", "Hangzhou", "Guangzhou", "Wuhan", "Singapore", "Kuala Lumpur", None)
COUNTRIES = ("China",) * 6 + ("Singapore", "Malaysia", "China")
_CITY_SUMS = np.cumsum([0.22, 0.18, 0.14, 0.12, 0.11, 0.07, 0.04, 0.03, 0.09])
_NO_BIRTH_YEAR, _NO_PROFILING = 0.25, 0.03
_MOVES_EVERY_DAYS, _OBJECTS_EVERY_DAYS = 2500.0, 12_000.0


def rows(people: Population, memory: Memory, since: int, until: int) -> pa.Table:
    """shop.customers as of `until`: those whose row changed at `since` or later and who are still there."""
    moved_at = _after(people, "moves", _MOVES_EVERY_DAYS)
    objects_at = _after(people, "objects", _OBJECTS_EVERY_DAYS)
    switched_at = campaigns.push_switched_at(people.key, people.signed_up)
    changes = np.column_stack([people.signed_up, moved_at, objects_at, switched_at, memory.withdrawn_at])
    updated = np.where(changes < until, changes, 0).max(axis=1)
    kept = np.flatnonzero((people.signed_up < until) & (people.deleted_at >= until) & (updated >= since))
    key, kind = people.key[kept], people.kind[kept]
    given = campaigns.consent(key, people.signed_up[kept], memory.withdrawn_at[kept], until - 1)
    first, second = draws.two_uniforms(key, "cities")
    city = draws.pick(np.where(moved_at[kept] < until, second, first), _CITY_SUMS)
    mean, spread = along_types("born")[kind].T
    born = np.rint(mean + spread * draws.normal(draws.uniform(key, "born"))).clip(1935, 2008)
    profiling = (draws.uniform(key, "profiling") >= _NO_PROFILING) & (objects_at[kept] >= until)
    return pa.table(
        {
            "customer_id": columns.customer_ids(people.number[kept]),
            "signed_up_at": columns.times(people.signed_up[kept]),
            "birth_year": pa.array(born, pa.int16(), mask=draws.uniform(key, "no birth year") < _NO_BIRTH_YEAR),
            "gender": _told(key, kind, "gender", GENDERS),
            "income_band": _told(key, kind, "income", INCOMES),
            "city": columns.words(CITIES, city),
            "country": columns.words(COUNTRIES, city),
            "acquisition_channel": _told(key, kind, "source", SOURCES),
            "email_consent": pa.array(given[:, 0]),
            "sms_consent": pa.array(given[:, 1]),
            "push_consent": pa.array(given[:, 2]),
            "profiling_consent": pa.array(profiling),
            "updated_at": columns.times(updated[kept]),
        }
    )


def ids(people: Population, chosen: np.ndarray) -> pa.Table:
    """The keys of the customers that are flagged."""
    return pa.table({"customer_id": columns.customer_ids(people.number[chosen])})


def _after(people: Population, purpose: str, mean_days: float) -> np.ndarray:
    days = draws.exponential(draws.uniform(people.key, purpose), mean_days)
    return np.minimum(people.signed_up + (days * DAY).astype(np.int64), FOREVER)


def _told(key: np.ndarray, kind: np.ndarray, attribute: str, texts: tuple[str | None, ...]) -> pa.Array:
    return columns.words(texts, draws.pick(draws.uniform(key, attribute), cumulated(attribute)[kind]))
