"""Stands in for our own programs, without their work: `collect`, `receive` ...

STAND_IN_FAILS="COMMAND STATUS SENTENCE" makes that command fail so.
"""

import os
import signal
import socket
import sys

from godot_otel import notify


def main(command, *arguments):
    for name in ("GODOT_REDIS_URL", "GODOT_POSTGRES_WRITER_DSN", "GODOT_DATA_DIR"):
        assert os.environ[name], name
    failure = os.environ.get("STAND_IN_FAILS", "").split(" ", 2)
    if failure[0] == command:
        print(f"godot-otel: {failure[2]}", file=sys.stderr)
        return int(failure[1])
    if command == "migrate":
        return 0
    if command in ("mcp", "receive"):
        server = socket.create_server(("127.0.0.1", int(arguments[-1])))
        server.listen()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    notify.ready()
    while True:
        signal.pause()


sys.exit(main(*sys.argv[1:]))
