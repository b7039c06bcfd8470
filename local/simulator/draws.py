"""
Random numbers as a pure function of what they are for.

Every number is a hash of (seed, customer, four weeks, order, purpose), so no number depends on which others were drawn
before it: any customer's any month can be made alone, in any order and in chunks of any size, and comes out the same.
The hash is the finaliser of SplitMix64 (Steele, Lea & Flood 2014, "Fast splittable pseudorandom number generators");
counters in the place of a stream of states are the idea of Salmon et al. 2011, "Parallel random numbers: as easy as
1, 2, 3".

Keys are uint64 arrays (n,); uniforms are float64 (n,), strictly between 0 and 1.
"""

from functools import cache
from hashlib import blake2b

import numpy as np
from scipy import special

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15
_STEP = 0xD1342543DE82EF95


@cache
def _number(purpose: str) -> int:
    return int.from_bytes(blake2b(purpose.encode(), digest_size=8).digest(), "little")


def root(seed: int, purpose: str) -> np.ndarray:
    """The key (1,) from which all keys of one kind of thing descend."""
    return _mixed(np.array([(seed * _GOLDEN + _number(purpose)) & _MASK], np.uint64))


def child(parent: np.ndarray, purpose: str, index: np.ndarray | int = 0) -> np.ndarray:
    """Keys for one purpose below `parent`, one per index: (n,) as the two broadcast. Indices are whole, from 0."""
    if isinstance(index, int):
        return _mixed(parent + np.uint64((_number(purpose) + index * _STEP) & _MASK))
    return _mixed(parent + np.uint64(_number(purpose)) + index.astype(np.uint64) * np.uint64(_STEP))


def uniform(parent: np.ndarray, purpose: str, index: np.ndarray | int = 0) -> np.ndarray:
    """A uniform number for one purpose per key."""
    bits = child(parent, purpose, index)
    bits >>= np.uint64(12)
    result = bits.astype(np.float64)
    result += 0.5
    result *= 2.0**-52
    return result


def two_uniforms(parent: np.ndarray, purpose: str, index: np.ndarray | int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Two independent uniforms of 32 bits each, for the price of one."""
    halves = child(parent, purpose, index).view(np.uint32).reshape(-1, 2)
    return (halves[:, 0] + 0.5) * 2.0**-32, (halves[:, 1] + 0.5) * 2.0**-32


def exponential(uniforms: np.ndarray, mean: np.ndarray | float) -> np.ndarray:
    """Exponential numbers (n,) of the given mean."""
    return -np.log(uniforms) * mean


def normal(uniforms: np.ndarray) -> np.ndarray:
    """Standard normal numbers (n,)."""
    return special.ndtri(uniforms)


def geometric(uniforms: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """How many trials (n,), the successful one included, until the first success; at most 2e9."""
    return np.ceil(np.log(uniforms) / np.log1p(-probability)).clip(1, 2e9).astype(np.int64)


def poisson(uniforms: np.ndarray, mean: np.ndarray, most: int) -> np.ndarray:
    """Poisson counts (n,) by inversion, cut off at `most`. Costs about as many passes as the largest count."""
    counts = np.zeros(len(uniforms), np.int32)
    term = np.exp(-mean)
    left = np.flatnonzero(uniforms > term)
    term, total, wanted, mean = term[left], term[left], uniforms[left], mean[left]
    for count in range(1, most + 1):
        if not len(left):
            break
        counts[left] = count
        term = term * mean / count
        total = total + term
        more = wanted > total
        left, term, total, wanted, mean = left[more], term[more], total[more], wanted[more], mean[more]
    return counts


@cache
def gamma_table(shape: float, size: int) -> np.ndarray:
    """The quantiles (size,) of a Gamma distribution of mean 1 at equal steps; their own mean is exactly 1."""
    quantiles = special.gammaincinv(shape, (np.arange(size) + 0.5) / size)
    return quantiles / quantiles.mean()


def gamma(uniforms: np.ndarray, shape: float, size: int = 1 << 14) -> np.ndarray:
    """Gamma numbers (n,) of mean 1, to a resolution of 1 / size of the probability."""
    return gamma_table(shape, size)[(uniforms * size).astype(np.int64)]


def dirichlet_cumulated(parent: np.ndarray, purpose: str, weights: tuple[float, ...]) -> np.ndarray:
    """Dirichlet shares, cumulated: float32 (n, k), each row rising to 1. `weights`: the k concentrations, all > 0."""
    parts = np.empty((len(parent), len(weights)))
    for index, weight in enumerate(weights):
        parts[:, index] = gamma(uniform(parent, purpose, index), weight, 1 << 12) * weight
    parts += 1e-9
    np.cumsum(parts, axis=1, out=parts)
    parts /= parts[:, -1:]
    return parts.astype(np.float32)


def pick(uniforms: np.ndarray, cumulated: np.ndarray) -> np.ndarray:
    """Which of k (n,), by shares cumulated to 1: (k,) for everyone or (n, k) each one's own."""
    if cumulated.ndim == 1:
        return np.searchsorted(cumulated[:-1], uniforms)
    choice = np.zeros(len(uniforms), np.int64)
    for index in range(cumulated.shape[1] - 1):
        choice += uniforms > cumulated[:, index]
    return choice


def _mixed(bits: np.ndarray) -> np.ndarray:
    """SplitMix64's finaliser, in place."""
    bits ^= bits >> np.uint64(30)
    bits *= np.uint64(0xBF58476D1CE4E5B9)
    bits ^= bits >> np.uint64(27)
    bits *= np.uint64(0x94D049BB133111EB)
    bits ^= bits >> np.uint64(31)
    return bits
