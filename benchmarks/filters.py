"""Word filters by bits a word, hashes and chunk size: bytes, false chunks, time.

    python benchmarks/filters.py [--rows 102400] [--json]

For each choice: bytes a row, the chunks in a thousand that a word nowhere in them is
looked for in vain, and what building costs a row. Rows are the generator's, 512 of a
service after each other. The choice of ``godot_otel/words.py`` is marked.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from generator import batches

from godot_otel import words
from godot_otel_collector.decode import Decoder
from godot_otel_collector.grouping import CHUNK

CHOICES = [
    (bits, hashes, chunk)
    for chunk in (256, 1024, 4096)
    for bits, hashes in ((8, 5), (10, 6), (12, 8), (16, 11))
]
CHOSEN = (words.BITS_PER_WORD, words.HASHES, CHUNK)
ABSENT = b"\0".join(b"zyzzyva%d" % n for n in range(20_000))


@contextmanager
def chosen(bits: int, hashes: int) -> Iterator[None]:
    """Make ``words`` build filters of that kind for a while."""
    before = words.BITS_PER_WORD, words.HASHES
    words.BITS_PER_WORD, words.HASHES = bits, hashes
    try:
        yield
    finally:
        words.BITS_PER_WORD, words.HASHES = before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=102_400)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    texts, pairs = rows(options.rows)
    found = [measure(texts, pairs, *choice) for choice in CHOICES]
    if options.json:
        print(json.dumps(found))
        return
    print("bits hashes chunk  bytes/row  false in 1,000  us/row")
    for one in found:
        mark = "  <- chosen" if tuple(one.values())[:3] == CHOSEN else ""
        print("{bits:4} {hashes:6} {chunk:5} {bytes:10.1f} {false:15.2f} {us:7.1f}"
              .format(**one) + mark)  # fmt: skip # one line


def rows(count: int) -> tuple[list[bytes], list[list[bytes]]]:
    """Texts and attributes of *count* rows, as the collector hands them on."""
    decoder = Decoder(retention_days=7)
    texts: list[bytes] = []
    pairs: list[list[bytes]] = []
    for entry in batches(count):
        fields = entry.fields()
        stream_id = b"%d-0" % (time.time_ns() // 1_000_000)
        found = decoder.decode(
            (stream_id, dict(zip(fields[::2], fields[1::2], strict=True)))
        ).rows
        texts += found.texts
        pairs += found.pairs
    return texts, pairs


def measure(
    texts: list[bytes], pairs: list[list[bytes]], bits: int, hashes: int, chunk: int
) -> dict[str, Any]:
    """Build all filters, and ask each for words that are nowhere."""
    absent = words.halves(words.hashes(ABSENT))
    size = asked = hit = 0
    took = 0.0
    with chosen(bits, hashes):
        for start in range(0, len(texts), chunk):
            began = time.thread_time()
            parts = texts[start : start + chunk], pairs[start : start + chunk]
            length, data = words.word_filter(words.chunk_words(*parts))
            took += time.thread_time() - began
            size += len(data) + 70  # what its row and its place in the index take
            hit += in_vain(data, length, absent, hashes)
            asked += len(absent[0])
    return {
        "bits": bits, "hashes": hashes, "chunk": chunk, "bytes": size / len(texts),
        "false": 1000 * hit / asked, "us": took / len(texts) * 1e6,
    }  # fmt: skip # the choice, then what came of it


def in_vain(
    data: bytes, length: int, absent: tuple[Any, Any], hashes: int
) -> int:  # fmt: skip # short
    """How many of the words the filter may hold, as it says."""
    flags = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")
    first, step = absent
    may = np.ones(len(first), dtype=bool)
    for i in range(hashes):
        may &= flags[(first + np.uint64(i) * step) % np.uint64(length)] == 1
    return int(may.sum())


if __name__ == "__main__":
    main()
