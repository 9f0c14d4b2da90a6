"""Decodes deliveries and makes of them what one transaction writes.

Pure computation: the same deliveries and bounds give the same rows, wherever it runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from godot_otel import contract
from godot_otel_collector.batch import WHOLE, Batch, DeadLetter
from godot_otel_collector.calendar import DAY, HOUR, LEDGER_DAYS, Calendar
from godot_otel_collector.decode import Decoder
from godot_otel_collector.entry import UnknownContractError
from godot_otel_collector.group import Prepared
from godot_otel_collector.grouping import prepare


class Preparation:
    """Prepares one group after the other; keeps what they have in common."""

    def __init__(self, *, retention_days: int) -> None:
        self._decoder = Decoder(retention_days=retention_days)

    def of(
        self,
        deliveries: Sequence[contract.Delivered],
        calendar: Calendar,
        *,
        floor: int = 0,
    ) -> Prepared:
        """Prepare *deliveries*, whose rows go where *calendar* says.

        Rows from before *floor* get the time they were received.
        """
        self._decoder.floor = floor
        found = Prepared()
        batches: list[Batch] = []
        for delivery in deliveries:
            try:
                batch = self._decoder.decode(delivery)
            except UnknownContractError:
                found.unknown.append(delivery[0])
                continue
            check_ledger_range(batch)
            batches.append(batch)
        # Bounds are whole hours, whatever the widths: an hour has one partition.
        hours = {
            hour
            for batch in batches
            for rows in (batch.rows, batch.spans)
            for hour in _hours(rows.times)
        }
        found.moments = {hour * HOUR for hour in hours}
        found.ids = [batch.id for batch in batches if not batch.outside]
        if all(calendar.covers(moment) for moment in found.moments):
            found.group = prepare(batches, calendar)
            for batch in batches:  # packed in the group's chunks by now
                batch.clear_rows()
        return found


def _hours(times: list[int]) -> Iterable[int]:
    """The hours since 1970 that *times* are in; most batches are of one."""
    if not times:
        return ()
    first, last = min(times) // HOUR, max(times) // HOUR
    return (first,) if first == last else {moment // HOUR for moment in times}


def check_ledger_range(batch: Batch) -> None:
    """A batch older than the ledger cannot be proven new: it becomes a dead letter."""
    minted = int.from_bytes(batch.id[:6], "big") * 1000
    received = contract.stream_milliseconds(batch.stream_id) * 1000
    if not received - LEDGER_DAYS * DAY <= minted <= received + DAY:
        reason = "batch id is outside the ledger's range"
        batch.outside = True
        batch.clear_rows()
        # One without a payload brought counters alone: there is nothing to set aside.
        batch.dead = [DeadLetter(WHOLE, reason, batch.payload)] if batch.payload else []
