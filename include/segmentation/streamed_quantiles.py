"""
Exact quantiles of numbers that are read in pieces, in the same memory however many there are: 1 MiB for each quantile,
and the piece.

The order statistic of a rank is found by its bits, the foremost first: one reading counts how the numbers share out by
their first 16 bits, the next how those with the right ones share out by the next 16, and so on (selection by radix;
Knuth 1998, "The Art of Computer Programming", vol. 3, 5.2.5 and 5.3.3). Four readings give all bits of a double.
"""

from collections.abc import Callable, Iterable, Sequence

import numpy as np

_BITS = 16
_DIGITS = 64 // _BITS


def quantiles(read: Callable[[], Iterable[np.ndarray]], shares: Sequence[float]) -> list[float] | None:
    """What `np.quantile` gives of all numbers together, to the last bit; None where there is no number.

    :param read: reads them from the beginning, float64 without NaN, in pieces of any size; it is called four times and
        must give the same numbers each time.
    :param shares: from 0 to 1.
    """
    first = _counted(read(), 0, [0])[0]
    count = int(first.sum())
    if not count:
        return None
    places = [share * (count - 1) for share in shares]
    ranks = sorted({rank for place in places for rank in (int(place), min(int(place) + 1, count - 1))})
    found = dict(zip(ranks, _at(read, first, ranks), strict=True))
    between = [(found[int(place)], found[min(int(place) + 1, count - 1)], place - int(place)) for place in places]
    return [float(np.quantile([low, high], share)) for low, high, share in between]


def _at(read: Callable[[], Iterable[np.ndarray]], first: np.ndarray, ranks: list[int]) -> list[float]:
    """The numbers at some ranks, the least has rank 0."""
    prefixes, left = [0] * len(ranks), list(ranks)
    counts = {0: first}
    for digit in range(_DIGITS):
        if digit:
            wanted = sorted(set(prefixes))
            counts = dict(zip(wanted, _counted(read(), digit, wanted), strict=True))
        for place, prefix in enumerate(prefixes):
            upto = np.cumsum(counts[prefix])
            chosen = int(np.searchsorted(upto, left[place], side="right"))
            left[place] -= int(upto[chosen - 1]) if chosen else 0
            prefixes[place] = prefix << _BITS | chosen
    return [_number(key) for key in prefixes]


def _counted(pieces: Iterable[np.ndarray], digit: int, prefixes: list[int]) -> list[np.ndarray]:
    """How often each value of a digit comes among the numbers that begin with a prefix, for each prefix."""
    counts = [np.zeros(1 << _BITS, np.int64) for _ in prefixes]
    for numbers in pieces:
        keys = _keys(numbers) >> np.uint64(64 - _BITS * (digit + 1))
        for prefix, into in zip(prefixes, counts, strict=True):
            mine = keys if not digit else keys[keys >> np.uint64(_BITS) == np.uint64(prefix)]
            into += np.bincount((mine & np.uint64((1 << _BITS) - 1)).astype(np.intp), minlength=1 << _BITS)
    return counts


def _keys(numbers: np.ndarray) -> np.ndarray:
    """Unsigned integers in the order of the numbers: a double's bits, the sign's turned round, all of a negative."""
    bits = (np.asarray(numbers, np.float64) + 0.0).view(np.uint64)  # -0.0 becomes 0.0
    return np.where(bits >> np.uint64(63), ~bits, bits | np.uint64(1 << 63))


def _number(key: int) -> float:
    bits = key & ~(1 << 63) if key >> 63 else ~key & (1 << 64) - 1
    return float(np.uint64(bits).view(np.float64))
