"""A client that starts a trace with nothing but the standard library.

    python by_hand.py http://127.0.0.1:8080/orders/7

The header is all there is to it: version, trace id, the caller's span, flags.
"""

from __future__ import annotations

import secrets
import sys
import urllib.request


def call(url: str) -> tuple[str, str]:
    """Return the trace id we made up, and the one that the response names."""
    trace_id, span_id = secrets.token_hex(16), secrets.token_hex(8)
    request = urllib.request.Request(url)
    request.add_header("traceparent", f"00-{trace_id}-{span_id}-01")
    with urllib.request.urlopen(request, timeout=10) as response:
        answered = response.headers.get("traceresponse", "")
    # 00-<trace id>-<the service's span>-01, from services that say it
    return trace_id, answered[3:35]


if __name__ == "__main__":
    ours, answered = call(sys.argv[1])
    print(f"sent {ours}, answered {answered}")
