"""A service from before OpenTelemetry: it passes X-Trace-ID on, and knows no other way.

    python old.py

Nothing of ours runs in it. Services around it that are started with
``OTEL_PROPAGATORS=tracecontext,baggage,godot_xtraceid`` speak its header too, and the
trace goes through it whole.
"""

from __future__ import annotations

import os
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PORT = int(os.environ.get("PORT", "8082"))
NEXT = os.environ.get("NEXT_URL", "http://127.0.0.1:8083")


class Old(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        trace_id = self.headers.get("X-Trace-ID", "")
        print(f"[{trace_id}] {self.path}", flush=True)
        request = urllib.request.Request(NEXT + self.path)
        request.add_header("X-Trace-ID", trace_id)
        with urllib.request.urlopen(request, timeout=10) as response:
            answer = response.read()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Be quiet: the line above says it all."""


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", PORT), Old).serve_forever()
