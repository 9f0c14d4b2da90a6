"""What a running stack says of itself: its ports answer, its disk has room."""

from __future__ import annotations

import http.client
import os
import shutil
from collections.abc import Iterator
from urllib.parse import urlsplit

from godot_otel import settings, state
from godot_otel.doctor.check import Check, ok, problem, warning

ABOUT = "stack"
TIMEOUT = 2.0
_LITTLE, _NONE = 2048 * settings.MIB, 256 * settings.MIB


def checks() -> Iterator[Check]:
    """Check the stack of the data directory, and the collector's health port."""
    directory = settings.data_dir()
    running = state.read(directory)
    if running is None:
        yield ok(ABOUT, f"none runs in {directory}")
    else:
        yield from _answering(running)
    if (directory / "postgres").is_dir():
        yield from _disk()
    if port := settings.value("http_port"):
        yield _health(port)


def _answering(running: dict[str, object]) -> Iterator[Check]:
    for name, key in (("MCP", "mcp_url"), ("OTLP", "otlp_url")):
        url = running.get(key)
        if not isinstance(url, str):
            continue
        answer = _get(url, "/healthz")
        if isinstance(answer, str):
            yield problem(
                ABOUT, f"{name} does not answer at {url}: {answer}",
                "see `godot-otel status` and the logs in the data directory",
            )  # fmt: skip # what, and what to do
        else:
            yield ok(ABOUT, f"{name} answers at {url}")


def _health(port: int) -> Check:
    host = settings.value("http_host")
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 # any
    where = f"http://{f'[{host}]' if ':' in host else host}:{port}/readyz"
    answer = _get(where, "/readyz")
    if isinstance(answer, str):
        return warning(
            ABOUT,
            f"no collector answers at {where}: {answer}",
            "start `godot-otel collect`, or unset GODOT_HTTP_PORT here",
        )
    status, text = answer
    if status == 200:
        return ok(ABOUT, f"the collector is ready ({where})")
    return problem(
        ABOUT, f"the collector is not ready: {text}", "mend that; it goes on by itself"
    )


def _get(url: str, path: str) -> tuple[int, str] | str:
    """Ask; give status and first line, or why there was no answer."""
    place = urlsplit(url)
    connection = http.client.HTTPConnection(
        place.hostname or "", place.port, timeout=TIMEOUT
    )
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read(500).decode("utf-8", "replace").strip()
    except (OSError, http.client.HTTPException) as error:
        return getattr(error, "strerror", None) or type(error).__name__
    finally:
        connection.close()


def _disk() -> Iterator[Check]:
    data = os.path.realpath(settings.data_dir() / "postgres" / "outside")
    place = data if os.path.isdir(data) else settings.data_dir() / "postgres"
    free = shutil.disk_usage(place).free
    what = f"the disk of {place} has {free // settings.MIB:,} MiB left"
    if free < _NONE:
        yield problem(ABOUT, what, "make room: Postgres stops when there is none")
    elif free < _LITTLE:
        yield warning(ABOUT, what, "make room, or keep less: GODOT_RETENTION_DAYS")
    else:
        yield ok(ABOUT, what)
