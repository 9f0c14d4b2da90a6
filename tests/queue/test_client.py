"""How a command of the queue's client looks on the wire."""

import pytest
from redis.connection import Encoder, PythonRespSerializer
from redis.exceptions import DataError

from godot_otel.queue.client import OnePiece


@pytest.mark.parametrize(
    "arguments",
    [
        ("EVALSHA", "abc", 2, b"k" * 10_000, "", b"", "käse", 1.5, -7),
        ("CONFIG GET", "maxmemory"),
        ("HGET", b"\xff\x00\r\n$3\r\n", "a b", memoryview(b"view")),
    ],
    ids=["a batch", "two words", "bytes"],
)
def test_a_command_in_one_piece_is_what_the_client_would_send(arguments):
    usual = PythonRespSerializer(6000, Encoder("utf-8", "strict", False).encode)
    assert OnePiece().pack(*arguments) == [b"".join(usual.pack(*arguments))]


@pytest.mark.parametrize("argument", [None, True, []])
def test_what_is_no_argument_is_refused(argument):
    with pytest.raises(DataError):
        OnePiece().pack("SET", "key", argument)
