"""A request's body: read and unpacked, and never more of it than the limit."""

from __future__ import annotations

import asyncio
import zlib

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

MAX_BYTES = 16 * 1024 * 1024  # packed and unpacked
READ_TIMEOUT = 30.0
_TOO_LARGE = "the body has more than 16 MiB{}: send smaller batches"


async def read(request: Request) -> bytes:
    """Return the body as it came.

    Raises:
        HTTPException: 413 too large, 408 too slow, 400 cut short.
    """
    # What is too large is refused before it is read, and the server skips it.
    declared = request.headers.get("content-length", "0")
    if declared.isdigit() and int(declared) > MAX_BYTES:
        raise HTTPException(413, _TOO_LARGE.format(""))
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(READ_TIMEOUT):
            async for chunk in request.stream():
                size += len(chunk)
                if size > MAX_BYTES:
                    raise HTTPException(413, _TOO_LARGE.format(""))
                chunks.append(chunk)
    except TimeoutError:
        raise HTTPException(
            408, f"the body did not arrive within {READ_TIMEOUT:g} s"
        ) from None
    except ClientDisconnect:
        raise HTTPException(400, "the body ended early") from None
    return b"".join(chunks)


def unpacked(packed: bytes, content_encoding: str) -> bytes:
    """Undo the content encoding.

    A second gzip member is refused: hundreds of thousands of empty ones would fit.

    Raises:
        HTTPException: 415 an encoding other than gzip, 413 too large, 400 no gzip.
    """
    if content_encoding in ("", "identity"):
        return packed
    if content_encoding != "gzip":
        raise HTTPException(
            415, "Content-Encoding must be gzip or absent", {"Accept-Encoding": "gzip"}
        )
    unpacker = zlib.decompressobj(wbits=31)
    try:
        data = unpacker.decompress(packed, MAX_BYTES + 1)
    except zlib.error:
        raise HTTPException(400, "the body is no gzip") from None
    if len(data) > MAX_BYTES:
        raise HTTPException(413, _TOO_LARGE.format(", unpacked"))
    if not unpacker.eof:
        raise HTTPException(400, "the body is no whole gzip: it ends early")
    if unpacker.unused_data:
        raise HTTPException(
            400, "the body goes on after its gzip ends: send one gzip member"
        )
    return data
