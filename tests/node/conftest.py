"""A queue for the folder, and Node.js."""

from __future__ import annotations

import pytest
import redis
from fix_node import node
from fix_queue import Server
from fix_serving import free_port

__all__ = ["node"]


@pytest.fixture(scope="session")
def _server(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("valkey"), free_port())
    yield server
    server.stop()


@pytest.fixture
def server(_server) -> Server:
    """The folder's Valkey, empty."""
    with redis.Redis(port=_server.port) as client:
        client.flushall()
    return _server
