"""`X-Trace-ID` means the same trace to the propagators of both languages."""

from __future__ import annotations

import json
import random
import uuid
from typing import Any

from fix_contract import EMIT
from opentelemetry import baggage, trace
from opentelemetry.context import Context

from godot_otel_exporter.propagation import HEADER, XTraceIdPropagator

PROPAGATOR = XTraceIdPropagator()


def understood(header: str) -> dict[str, Any]:
    """What Python makes of a header, and what it sends on."""
    context = PROPAGATOR.extract({HEADER: header}, Context())
    span = trace.get_current_span(context).get_span_context()
    sent: dict[str, str] = {}
    PROPAGATOR.inject(sent, context)
    return {
        "trace_id": f"{span.trace_id:032x}",
        "span_id": f"{span.span_id:016x}",
        "flags": int(span.trace_flags),
        "baggage": baggage.get_baggage(HEADER, context),
        "sent": sent.get(HEADER),
    }


def test_any_header(node):
    chance = random.Random(5)
    one = str(uuid.UUID(int=chance.getrandbits(128)))
    headers = [
        one, one.upper(), one.replace("-", ""), f"{{{one}}}", f"urn:uuid:{one}",
        f" {one}\t", f"{one}, {one}", one[:-1], f"{one[:-1]}g", one.replace("-", "", 1),
        "", "0" * 32, "0" * 16 + "1" * 16, "1" * 16 + "0" * 16, "order-7", "a b", "é",
        "x" * 128, "x" * 129, "a=b;c,d", "\x7f", "%41", "a\r\nX-Other: b", "１" * 32,
    ]  # fmt: skip # a list
    headers += [
        "".join(chance.choices("0123456789abcdefABCDEF-", k=length))
        for length in (31, 32, 33, 36) * 100
    ]
    done = node.run(EMIT, "headers", stdin=json.dumps({"cases": headers}))
    assert (done.returncode, done.stderr) == (0, "")
    for header, found in zip(headers, json.loads(done.stdout), strict=True):
        assert found == understood(header), repr(header)
    assert sum(understood(header)["sent"] is not None for header in headers) > 20
