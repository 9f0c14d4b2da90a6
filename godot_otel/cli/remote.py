"""The store through a server's ``/api/``: no password of a database is needed.

Turns the API's JSON back into what ``query`` gives, so that commands print the same.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Self, TypeAlias
from urllib.parse import quote

import httpx2

from godot_otel.cli import shapes
from godot_otel.errors import GodotError, SettingError, StoreUnreachableError
from godot_otel.query import (
    Difference,
    FilterError,
    Filters,
    Line,
    Page,
    Patterns,
    Stats,
    Trace,
    TraceLines,
    Traces,
)
from godot_otel.query.sanitize import line as plain

_TIMEOUT = 30.0  # seconds; the server gives up before
_SILENCE = 15.0  # seconds without a heartbeat of a stream
_AGAIN = 1.0
_ATTEMPTS = 5  # where the server says that it was asked too often
_ALL = "-3650d"  # as much as any store keeps
_NAMES = {"component": "service"}

Parameters: TypeAlias = list[tuple[str, str | int | float | bool | None]]


class Remote:
    """Asks one server; ``async with`` closes its connections."""

    def __init__(self, url: str, token: str | None) -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._url = url
        # Redirects are not followed: the token is for this server alone.
        self._client = httpx2.AsyncClient(
            base_url=f"{url}/api/", headers=headers, timeout=_TIMEOUT
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def logs(
        self, filters: Filters, *, limit: int, order: str, cursor: str
    ) -> Page:
        """See ``Source``."""
        given = [*_given(filters), ("order", order), *_page(limit, cursor)]
        return shapes.page(await self._ask("logs", given))

    async def trace(self, filters: Filters, *, limit: int) -> TraceLines:
        """See ``Source``; without the first error, which no command shows."""
        wanted = quote(filters.given["trace_id"].strip(), safe="")
        found = await self._ask(f"traces/{wanted}", _page(limit, ""), missing=True)
        if "error" in found:
            nothing = shapes.EMPTY | {"notes": found["notes"]}
            return TraceLines(None, None, shapes.page(nothing))
        return TraceLines(
            shapes.trace(found["trace"]),
            None,
            shapes.page(found),
            [shapes.span(row) for row in found["spans"]],
            [shapes.linked(row) for row in found["linked"]],
        )

    async def compare(self, filters: Filters, other: str) -> Difference:
        """See ``Source``."""
        wanted = quote(filters.given["trace_id"].strip(), safe="")
        given: Parameters = [("compare_to", other)]
        return shapes.difference(await self._ask(f"traces/{wanted}", given))

    async def last_trace(self, *, errors: bool) -> Trace | None:
        """See ``Source``."""
        given: Parameters = [
            ("errors", _flag(errors)), ("since", _ALL), ("limit", 1),
        ]  # fmt: skip # three of them
        found = shapes.traces(await self._ask("traces", given))
        return next(iter(found.traces), None)

    async def traces(
        self,
        filters: Filters,
        *,
        errors: bool,
        sort: str,
        min_duration_ms: float,
        limit: int,
        cursor: str,
    ) -> Traces:
        """See ``Source``."""
        how: Parameters = [
            ("errors", _flag(errors)), ("sort", sort),
            ("min_duration_ms", min_duration_ms),
        ]  # fmt: skip # a name beside its value
        given = [*_given(filters), *how, *_page(limit, cursor)]
        return shapes.traces(await self._ask("traces", given))

    async def patterns(
        self, filters: Filters, *, compare_to: str, limit: int
    ) -> Patterns:
        """See ``Source``."""
        how: Parameters = [("compare_to", compare_to), ("limit", limit)]
        found = await self._ask("patterns", [*_given(filters), *how])
        return shapes.patterns(found, filters)

    async def stats(
        self, filters: Filters, *, group_by: str, bucket: str, fields: str
    ) -> Stats:
        """See ``Source``."""
        how: Parameters = [
            ("group_by", group_by), ("bucket", bucket), ("fields", fields),
        ]  # fmt: skip # a name beside its value
        return shapes.stats(await self._ask("stats", [*_given(filters), *how]))

    async def follow(
        self, filters: Filters, *, say: Callable[[str], None]
    ) -> AsyncIterator[Line]:
        """See ``Source``; connects again when cut off, from where it was.

        Raises:
            GodotError: the server refuses, at first or later.
        """
        given: Parameters = [*_given(filters), ("follow", "true")]
        last, away = "", False
        while True:
            headers = {"Last-Event-ID": last} if last else {}
            silence = httpx2.Timeout(_TIMEOUT, read=_SILENCE)
            try:
                async with self._client.stream(
                    "GET", "logs", params=given, headers=headers, timeout=silence
                ) as answer:
                    if answer.status_code != 200:
                        await answer.aread()
                        raise self._refused(answer)
                    async for event in _events(answer):
                        if event.get("event") == "refused":
                            said = json.loads(event["data"])["error"]
                            raise SettingError(plain(said))
                        if "data" in event:
                            yield shapes.line(json.loads(event["data"]))
                        last, away = event.get("id", last), False
                if last:  # ended by the server; asked again it says why
                    await asyncio.sleep(_AGAIN)
                    continue
                problem = self._away()
            except httpx2.TransportError:
                problem = self._away()
            except StoreUnreachableError as error:
                problem = error
            if not last:
                raise problem
            if not away:
                say(str(problem))
            away = True
            await asyncio.sleep(_AGAIN)

    async def _ask(
        self, path: str, given: Parameters, *, missing: bool = False
    ) -> dict[str, Any]:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                answer = await self._client.get(path, params=given)
            except httpx2.TransportError:
                raise self._away() from None
            if answer.status_code == 429 and attempt < _ATTEMPTS:
                await asyncio.sleep(_seconds(answer.headers))
                continue
            break
        if answer.status_code == 200 or (missing and answer.status_code == 404):
            found = _object(answer)
            if {"rows", "levels", "notes", "here"} & set(found):
                return found
        raise self._refused(answer)

    def _away(self) -> StoreUnreachableError:
        return StoreUnreachableError(f"nothing answers at GODOT_URL ({self._url})")

    def _refused(self, answer: httpx2.Response) -> GodotError:
        """What a status means to a person; the sentence is the server's."""
        said = _object(answer).get("error")
        if not isinstance(said, str):
            status = answer.status_code
            return GodotError(
                f"no server of ours answers at GODOT_URL ({self._url}): status {status}"
            )
        sentence = plain(said)
        if answer.status_code == 400:
            return FilterError(sentence)
        if answer.status_code in (401, 403):
            return SettingError(f"GODOT_TOKEN: {sentence}")
        if answer.status_code == 421:
            return SettingError(f"GODOT_URL: {sentence}")
        if answer.status_code == 503:
            return StoreUnreachableError(sentence)
        return GodotError(sentence)


def _given(filters: Filters) -> Parameters:
    """The filters as they were written, as query parameters."""
    found: Parameters = []
    for name, value in filters.given.items():
        values = value.split("\0") if name == "where" else [value]
        found += [(_NAMES.get(name, name), one) for one in values]
    return found


def _page(limit: int, cursor: str) -> Parameters:
    return [("limit", limit), *([("cursor", cursor)] if cursor else [])]


def _flag(value: bool) -> str:
    return "true" if value else "false"


def _seconds(headers: Mapping[str, str]) -> float:
    text = headers.get("retry-after", "1")
    return min(float(text), 10.0) if text.isdigit() else 1.0


def _object(answer: httpx2.Response) -> dict[str, Any]:
    try:
        found = answer.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


async def _events(answer: httpx2.Response) -> AsyncIterator[dict[str, str]]:
    """Server-sent events as their fields, each once it is whole."""
    pending: dict[str, str] = {}
    async for text in answer.aiter_lines():
        if text:
            name, _, value = text.partition(":")
            pending[name] = value.removeprefix(" ")
        else:
            yield pending
            pending = {}
