"""Logs as fast as it can and measures each call.

    application.py CALLS RESULT

The first record goes alone; "ready" is printed when it has arrived. Every
``PAUSE_EVERY`` calls the loop sleeps 5 ms, and ends early if the file ``RESULT.stop``
is there. Records carry their number as the attribute ``number``.
"""

import json
import logging
import os
import sys
import time

calls, result = int(sys.argv[1]), sys.argv[2]
every = int(os.environ.get("PAUSE_EVERY", "0"))
log = logging.getLogger("application")
log.setLevel(logging.INFO)
log.addHandler(logging.NullHandler())
log.propagate = False


def call(number: int) -> float:
    began = time.perf_counter()
    log.info("line %d of %d", number, calls, extra={"number": number})
    return time.perf_counter() - began


first = call(0)
if "godot_otel_exporter.providers" in sys.modules:
    from godot_otel_exporter import force_flush

    force_flush(5)
print("ready", flush=True)
took = [0.0] * (calls - 1)
for number in range(1, calls):
    took[number - 1] = call(number)
    if every and number % every == 0:
        time.sleep(0.005)
        if os.path.exists(f"{result}.stop"):
            del took[number:]
            break
took.sort()
with open(result, "w") as file:
    json.dump(
        {
            "calls": len(took) + 1,
            "first": first,
            "median": took[len(took) // 2],
            "p9999": took[int(len(took) * 0.9999)],
            "max": took[-1],
        },
        file,
    )
