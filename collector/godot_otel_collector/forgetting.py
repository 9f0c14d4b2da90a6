"""Forgets what no stored line names any more: resources, scopes, templates, instances.

``last_seen`` of an entry moves once a day: a writer that has written it today does not
do so again. So an entry may be used for a day after it was last seen by the store's
clock, or two where clocks and time zones differ. Its lines may bear a time one day
ahead, lie in a partition of a day, and stay until that is over and dropped. The seven
days beyond retention are more than all of it; and what is so old no writer has written
today, so each writes it anew before its lines.
"""

from __future__ import annotations

from typing import Any, cast

from psycopg import sql as compose

from godot_otel import sql, store
from godot_otel_collector.pace import breathe

_DICTIONARIES = ("resources", "scopes", "templates")
_STEPS = 50  # of 500 entries, for each table and round


class Forgetting:
    """Deletes entries that are not used any more, few at a time."""

    action = "forgetting"
    interval = 3600.0

    async def run(self, connection: store.Connection) -> None:
        """Delete what is due; the next round goes on where there is too much."""
        text = compose.SQL(cast(Any, sql.query("forget")))
        for table in _DICTIONARIES:
            statement = text.format(table=compose.Identifier(table))
            await _step_by_step(connection, statement)
        emitters = compose.SQL(cast(Any, sql.query("forget_emitters")))
        await _step_by_step(connection, compose.Composed([emitters]))


async def _step_by_step(
    connection: store.Connection, statement: compose.Composed
) -> None:
    for _ in range(_STEPS):
        async with breathe():
            cursor = await connection.execute(statement)
        if not cursor.rowcount:
            return
