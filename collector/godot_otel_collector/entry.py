"""Reads an entry's fields by the wire contract, leaving its payload unparsed."""

from __future__ import annotations

import uuid
import zlib
from typing import Any

import orjson

from godot_otel import contract
from godot_otel.errors import GodotError, PermanentError
from godot_otel_collector.batch import LOGS, TRACES, WHOLE, Batch, DeadLetter
from godot_otel_collector.templates import stable_id
from godot_otel_collector.values import clean

COUNTS = ("emitted", "spooled")
_MAX_SOURCE_BYTES = 8192
_SIGNALS = {name.encode(): name for name in (LOGS, TRACES)}


class UnknownContractError(GodotError):
    """The entry is of a newer contract; a newer collector will take it."""


def envelope(delivery: contract.Delivered) -> Batch:
    """Read an entry's fields, leaving its payload unparsed.

    What is no entry of ours at all becomes a batch with one dead letter.

    Raises:
        UnknownContractError: version, signal or encoding is not known here.
    """
    stream_id, fields = delivery
    if fields.get(b"v", contract.CONTRACT) != contract.CONTRACT:
        raise UnknownContractError
    raw = fields.get(b"payload", b"")
    whole = b"\n".join(b"%b=%b" % field for field in fields.items())
    try:
        identity = uuid.UUID(bytes=fields.get(b"id", b""))
        records, home = int(fields[b"records"]), int(fields[b"home"])
        if not 0 <= home < 2**15 or not 0 <= records < 2**31:
            raise ValueError
        reason = ""
    except (ValueError, KeyError):
        # Delivered twice, it must get the same id, so that it is dead only once.
        identity = uuid.UUID(bytes=_foreign_id(stream_id))
        records, home, reason = 0, 0, "no entry of this contract"
    signal = fields.get(b"signal", b"")
    encoding = fields.get(b"encoding", b"")
    if not reason and (signal not in _SIGNALS or encoding not in contract.ENCODINGS):
        raise UnknownContractError
    kind = "unknown" if reason else _SIGNALS[signal]
    batch = Batch(stream_id, len(raw), records, identity.bytes, home, kind, {}, raw)
    if reason:
        batch.dead = [DeadLetter(WHOLE, reason, whole)]
        return batch
    batch.source = _source(fields.get(b"source", b""))
    if said := fields.get(b"dead"):
        batch.dead = [DeadLetter(WHOLE, clean(said[:1024]).decode(), raw)]
        return batch
    try:
        batch.payload = _unpacked(raw, encoding)
    except PermanentError as error:
        batch.dead.append(DeadLetter(WHOLE, str(error), raw))
    return batch


def _foreign_id(stream_id: bytes) -> bytes:
    return contract.batch_id(contract.stream_milliseconds(stream_id))[:6] + (
        stable_id(stream_id) & 0x0FFF_3FFF_FFFF_FFFF_FFFF | 0x7000_8000_0000_0000_0000
    ).to_bytes(10, "big")


def _source(raw: bytes) -> dict[str, Any]:
    if len(raw) > _MAX_SOURCE_BYTES:
        return {}
    try:
        source = orjson.loads(raw)
        source["instance"] = uuid.UUID(str(source["instance"])).hex
        orjson.dumps(source)  # which goes less deep than reading: TypeError
    except (ValueError, KeyError, TypeError):
        return {}
    # The store compares and sums these: what is no count would fail there.
    counts = {name: source[name] for name in COUNTS if _is_count(source.get(name))}
    kept = {name: source[name] for name in source if name not in (*COUNTS, "dropped")}
    dropped = source.get("dropped")
    reasons = dropped.items() if isinstance(dropped, dict) else ()
    return kept | counts | {"dropped": {k: n for k, n in reasons if _is_count(n)}}


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 10**15


def progress(source: dict[str, Any]) -> tuple[int, int]:
    """Order the counters of one instance: every one of them only grows."""
    lost = source.get("spooled", 0) + sum(source.get("dropped", {}).values())
    return source.get("emitted", 0), lost


def _unpacked(raw: bytes, encoding: bytes) -> bytes:
    if encoding == b"":
        return raw
    unpacker = zlib.decompressobj(wbits=31)
    try:
        data = unpacker.decompress(raw, contract.MAX_BATCH_BYTES)
    except zlib.error as error:
        raise PermanentError(f"no gzip: {error}") from None
    if not unpacker.eof:
        raise PermanentError("gzip is cut short or unpacks to more than 4 MiB")
    return data
