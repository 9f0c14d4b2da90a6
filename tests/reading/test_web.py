"""One guard for every path, and a server that says when it is ready."""

import asyncio
import os
import signal
import socket
import sys

import pytest

from godot_otel import query
from godot_otel.errors import SettingError
from godot_otel.web import app as web_app

PATHS = ["/healthz", "/mcp", "/", "/unknown", "/api/logs", "/mcp/", "//mcp", "/%2e"]
WRONG_HOSTS = [
    "evil.example", "127.0.0.1.evil.example", "localhost.evil.example:9060", "",
    "127.0.0.1:80@evil.example", "[::1].evil", "0.0.0.0", "127.0.0.1:x",
]  # fmt: skip # names that lead elsewhere
RIGHT_HOSTS = ["127.0.0.1", "localhost:9060", "[::1]:1", "LOCALHOST"]


async def call(method: str, path: str, headers: list[tuple[str, str]]) -> int:
    """The status of one request to the app itself."""
    app = web_app.build(query.Reader("postgresql://127.0.0.1:1/d"))
    scope = {
        "type": "http", "method": method, "path": path, "raw_path": path.encode(),
        "query_string": b"", "root_path": "", "scheme": "http", "http_version": "1.1",
        "headers": [(k.encode(), v.encode()) for k, v in headers],
        "client": ("127.0.0.1", 5), "server": ("127.0.0.1", 9060),
    }  # fmt: skip # one scope
    sent: list[dict] = []

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        sent.append(message)

    async with app.router.lifespan_context(app):
        await app(scope, receive, send)
    return sent[0]["status"]


@pytest.mark.parametrize("path", PATHS)
async def test_a_wrong_host_or_origin_is_refused_on_every_path(path):
    for method in ("GET", "POST", "DELETE", "OPTIONS"):
        for host in WRONG_HOSTS:
            assert await call(method, path, [("host", host)]) == 421, (method, host)
        assert await call(method, path, []) == 421
        twice = [("host", "localhost"), ("host", "evil.example")]
        assert await call(method, path, twice) == 421
        for origin in ("http://evil.example", "null", "http://localhost.evil"):
            headers = [("host", "localhost"), ("origin", origin)]
            assert await call(method, path, headers) == 403, (method, origin)


@pytest.mark.parametrize("path", ["/healthz", "/mcp", "/api/logs"])
async def test_what_another_sites_page_has_a_browser_fetch_is_refused(path):
    browser = [("host", "localhost"), ("sec-fetch-site", "cross-site")]
    for method in ("GET", "HEAD"):  # for which a page's browser sends no Origin
        for kind in ("empty", "image", "iframe"):
            headers = [*browser, ("sec-fetch-dest", kind)]
            assert await call(method, path, headers) == 403, (method, kind)
    followed = [*browser, ("sec-fetch-dest", "document")]
    ours = [("host", "localhost"), ("sec-fetch-site", "same-origin")]
    for headers in (followed, ours):
        assert await call("GET", "/healthz", headers) == 200


@pytest.mark.parametrize("host", RIGHT_HOSTS)
async def test_this_machines_own_names_are_let_in(host):
    assert await call("GET", "/healthz", [("host", host)]) == 200
    own = [("host", host), ("origin", "http://127.0.0.1:9060")]
    assert await call("GET", "/healthz", own) == 200
    assert await call("GET", "/unknown", [("host", host)]) == 404


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "example.org"])
async def test_an_address_that_others_reach_is_refused(host):
    with pytest.raises(SettingError, match=r"use 127\.0\.0\.1"):
        await web_app.serve(host, 0)


async def test_a_taken_port_gets_a_sentence():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SettingError, match=f"port {port} on 127.0.0.1 cannot be"):
            await web_app.serve("127.0.0.1", port)


@pytest.mark.parametrize("name", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("store", ["there", "away"])
async def test_it_says_when_it_is_ready_and_ends_with_status_0(
    store_dsn, tmp_path, store, name
):
    dsn = store_dsn if store == "there" else "postgresql://127.0.0.1:1/d"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified:
        notified.bind(str(tmp_path / "n"))
        notified.setblocking(False)
        code = "from godot_otel.web.app import serve; asyncio.run(serve(port=0))"
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", f"import asyncio; {code}",
            stdout=asyncio.subprocess.PIPE,
            env={"PATH": os.environ["PATH"], "NOTIFY_SOCKET": str(tmp_path / "n"),
                 "GODOT_POSTGRES_DSN": dsn},
        )  # fmt: skip # one call
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(15):
            assert await loop.sock_recv(notified, 100) == b"READY=1"
            url = (await process.stdout.readline()).decode().strip()
            port = int(url.removeprefix("http://127.0.0.1:").removesuffix("/mcp"))
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(
                b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
            )
            assert b" 200 " in await reader.readline()
            writer.close()
            await writer.wait_closed()
            process.send_signal(name)
            assert await process.wait() == 0
