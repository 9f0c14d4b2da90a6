"""Which partition a moment belongs to, by bounds; moments are microseconds in UTC."""

from __future__ import annotations

import bisect

HOUR = 3_600_000_000
DAY = 24 * HOUR
LEDGER_DAYS = 30


class Calendar:
    """Partitions of one parent, as an immutable list of bounds."""

    def __init__(self, bounds: list[tuple[int, int]]) -> None:
        self._lowers = [lower for lower, _ in bounds]
        self._uppers = [upper for _, upper in bounds]

    def covers(self, moment: int) -> bool:
        """Say whether a partition for *moment* exists."""
        return self.bounds(moment) is not None

    def lower(self, moment: int) -> int:
        """The lower bound of the partition that holds *moment*.

        Without one, its hour: bounds are whole hours, so whichever partition will be
        made has room for all of it.
        """
        found = self.bounds(moment)
        return found[0] if found else moment // HOUR * HOUR

    def bounds(self, moment: int) -> tuple[int, int] | None:
        """The bounds of the partition that holds *moment*, where there is one."""
        at = bisect.bisect_right(self._lowers, moment) - 1
        if at < 0 or moment >= self._uppers[at]:
            return None
        return self._lowers[at], self._uppers[at]

    def gap(self, moment: int, width: int) -> tuple[int, int]:
        """The bounds of a new partition for *moment*, clear of the existing ones."""
        lower = moment // width * width
        upper = lower + width
        at = bisect.bisect_right(self._lowers, moment)
        if at > 0:
            lower = max(lower, self._uppers[at - 1])
        if at < len(self._lowers):
            upper = min(upper, self._lowers[at])
        return lower, upper
