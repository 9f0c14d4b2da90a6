"""A store filled by plain INSERTs, as the writer's contract has it."""

import itertools
import json
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from psycopg import sql

from godot_otel import words
from godot_otel.sql import query
from godot_otel_collector.templates import mask, stable_id

HOUR = timedelta(hours=1)
_TIMED = ("logs", "word_filters", "log_counts", "log_packs")


def pack(dsn: str) -> None:
    """Pack every line, as maintenance does when it is a day old."""
    with psycopg.connect(dsn) as connection:
        for name, lower, upper in connection.execute(
            "SELECT name, lower, upper FROM partitions WHERE parent = 'logs'"
        ).fetchall():
            connection.execute(query("pack_begin"), [name])
            values = {"since": lower, "until": upper}
            connection.execute(query("pack_lines"), values)


def wherever(*columns: str) -> str:
    """What to read FROM for lines, packed or not, as ``logs``."""
    unpacked = ", ".join(f"unnest({name}) AS {name}" for name in columns)
    rows = f"SELECT {', '.join(columns)} FROM logs"
    return f"({rows} UNION ALL SELECT {unpacked} FROM log_packs) AS logs"


@dataclass
class Row:
    body: str
    time: datetime = field(default_factory=lambda: datetime.now(UTC))
    nanos: int = 0
    service: str = "orders"
    logger: str = "shop.orders"
    environment: str = "prod"
    version: str = "1.0"
    severity: int = 9
    trace_id: str | None = None
    span_id: str | None = None
    attributes: dict[str, Any] | None = None
    resource: dict[str, Any] = field(default_factory=dict)


class Lines:
    """Writes rows, a call a transaction, in chunks that never cross an hour."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self.width = HOUR  # of partitions to come; or a day
        self._made: set[str] = set()
        self._resources: dict[str, int] = {}
        self._templates: set[int] = set()

    def add(self, *rows: Row, chunk: int = 1024) -> None:
        with psycopg.connect(self.dsn) as connection:
            for row in rows:
                self._partitions(connection, row.time)
            connection.commit()
            self.insert(connection, rows, chunk)

    def insert(
        self, connection: psycopg.Connection, rows: tuple[Row, ...], chunk: int = 1024
    ) -> None:
        """Insert into partitions that exist; the caller commits."""
        (base,) = connection.execute(
            "SELECT (xid_base + pg_current_xact_id()::text::bigint) << 20 FROM settings"
        ).fetchone()
        hour = lambda row: row.time.replace(minute=0, second=0, microsecond=0)  # noqa: E731
        over = datetime.now(UTC) - HOUR
        for late in {hour(row) for row in rows if row.time < over}:
            connection.execute("INSERT INTO late_hours VALUES (%s)", [late])
        ordinal = 0
        for _, group in itertools.groupby(sorted(rows, key=hour), key=hour):
            part = list(group)
            for start in range(0, len(part), chunk):
                piece = part[start : start + chunk]
                self._chunk(connection, piece, base + ordinal)
                ordinal += len(piece)

    def _chunk(self, connection, rows, seq) -> None:
        found: set[str] = set()
        for n, row in enumerate(rows):
            connection.execute(
                "INSERT INTO logs (time, time_nanos, seq, template_id, resource_id,"
                " scope_id, home, severity, trace_id, span_id, environment, service,"
                " logger, body, attributes)"
                " VALUES (%s, %s, %s, %s, %s, 0, 0, %s, %s, %s, %s, %s, %s, %s, %s)",
                [
                    row.time, row.nanos, seq + n, self._template(connection, row),
                    self._resource(connection, row),
                    row.severity, row.trace_id and uuid.UUID(row.trace_id),
                    row.span_id and bytes.fromhex(row.span_id), row.environment,
                    row.service, row.logger, row.body,
                    json.dumps(row.attributes) if row.attributes else None,
                ],
            )  # fmt: skip
            found.update(words.text_words(words.searchable(row.body, row.attributes)))
            for key, value in (row.attributes or {}).items():
                if entry := words.attribute_word(key, value):
                    found.add(entry)
            self._rollups(connection, row)
        bits, data = words.word_filter("\0".join(found).encode())
        times = [row.time for row in rows]
        connection.execute(
            "INSERT INTO word_filters VALUES (%s, %s, %s, %s, %s, %s, %s)",
            [
                min(times), max(times), seq, seq + len(rows) - 1, bits, words.FORMAT,
                data,
            ],
        )  # fmt: skip

    def _rollups(self, connection, row) -> None:
        minute = row.time.replace(second=0, microsecond=0)
        connection.execute(
            "INSERT INTO log_counts VALUES (%s, %s, %s, %s, 1, %s, %s, %s)",
            [
                minute, row.time, row.time, self._template(connection, row),
                row.severity, row.environment, row.service,
            ],
        )  # fmt: skip
        if row.trace_id:
            connection.execute(
                "INSERT INTO trace_index VALUES (%s, %s, %s, 1, %s, %s)",
                [row.time, row.time, uuid.UUID(row.trace_id),
                 int(row.severity >= 17), row.service],
            )  # fmt: skip

    def _template(self, connection, row) -> int:
        template = mask(row.body)
        number = stable_id(row.logger.encode(), template.encode())
        if number not in self._templates:
            self._templates.add(number)
            connection.execute(
                "INSERT INTO templates (id, logger, template) VALUES (%s, %s, %s)"
                " ON CONFLICT DO NOTHING",
                [number, row.logger, template],
            )
        return number

    def _resource(self, connection, row) -> int:
        attributes = {"service.name": row.service, **row.resource}
        key = json.dumps([row.environment, row.version, attributes], sort_keys=True)
        if key not in self._resources:
            self._resources[key] = number = hash(key) & (2**62 - 1)
            connection.execute(
                "INSERT INTO resources VALUES (%s, %s, %s, %s, %s, '', 0)",
                [
                    number, row.service, row.environment, row.version,
                    json.dumps(attributes),
                ],
            )  # fmt: skip
        return self._resources[key]

    def _partitions(self, connection, time) -> None:
        hour = time.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        day = hour.replace(hour=0)
        lower = hour if self.width == HOUR else day
        for parent in _TIMED:
            self._partition(connection, parent, lower, lower + self.width)
        self._partition(connection, "trace_index", day, day + 24 * HOUR)

    def _partition(self, connection, parent, lower, upper) -> None:
        name = f"{parent}_{lower:%Y%m%d%H}"
        if name in self._made:
            return
        self._made.add(name)
        if connection.execute("SELECT to_regclass(%s)", [parent]).fetchone() == (None,):
            return  # a schema of before
        connection.execute(
            sql.SQL(
                "CREATE TABLE {} PARTITION OF {} FOR VALUES FROM ({}) TO ({})"
            ).format(
                sql.Identifier(name), sql.Identifier(parent),
                sql.Literal(str(lower)), sql.Literal(str(upper)),
            )
        )  # fmt: skip
        connection.execute(
            "INSERT INTO partitions (name, parent, lower, upper)"
            " VALUES (%s, %s, %s, %s)",
            [name, parent, lower, upper],
        )
