"""Durations of spans, counted by buckets whose counts can be added up.

A bucket is an eighth of a doubling: bucket *i* holds the durations of [2 ** (i / 8),
2 ** ((i + 1) / 8)) nanoseconds, and bucket -1 those of nothing. So whatever lies in a
bucket is within 4.5 % of its middle, and a percentile of any sum of counts is too. The
buckets are part of the stored format.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt

PER_DOUBLING = 8
EMPTY = -1
"""The bucket of spans that took no time, or a negative one."""

# The least whole nanoseconds of each bucket, from 0 on.
_LEAST = np.array(
    [math.ceil(2 ** (i / PER_DOUBLING)) for i in range(63 * PER_DOUBLING)],
    dtype=np.int64,
)


def buckets(nanoseconds: Iterable[int]) -> npt.NDArray[np.intp]:
    """The bucket of each duration."""
    values = np.fromiter(nanoseconds, dtype=np.int64)
    return np.searchsorted(_LEAST, values, side="right") - 1


def middle(bucket: int) -> float:
    """The duration in nanoseconds that stands for all of a bucket."""
    if bucket <= EMPTY:
        return 0.0
    return float(2 ** ((bucket + 0.5) / PER_DOUBLING))


def percentile(counts: Mapping[int, int], share: float) -> float | None:
    """The nanoseconds that *share* (0.95 for p95) of all spans do not exceed.

    *counts* are how many spans are in which bucket; None where there is none.
    """
    total = sum(counts.values())
    if not total:
        return None
    rank = max(1, math.ceil(share * total))
    passed = 0
    for bucket in sorted(counts):
        passed += counts[bucket]
        if passed >= rank:
            return middle(bucket)
    raise AssertionError("a share is at most 1")
