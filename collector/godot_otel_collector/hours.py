"""Counts hours that are over, so that questions about days read few rows."""

from __future__ import annotations

from typing import Any, cast

from godot_otel import sql, store
from godot_otel_collector.pace import breathe

HOURS_A_ROUND = 24  # the next round goes on


class Hours:
    """Keeps ``log_hours`` the sum of ``log_counts``."""

    action = "hours"
    interval = 0.0

    async def run(self, connection: store.Connection) -> None:
        """Count what is due, an hour a statement, and forget what is dropped."""
        await connection.execute(cast(Any, sql.query("forget_hours")))
        cursor = await connection.execute(
            cast(Any, sql.query("hours_due")), [HOURS_A_ROUND]
        )
        for (hour,) in await cursor.fetchall():
            async with breathe():
                # Never prepared: a generic plan would lock every partition.
                await connection.execute(
                    cast(Any, sql.query("count_hour")), {"hour": hour}, prepare=False
                )
