"""What both languages must have word for word."""

from __future__ import annotations

import json

from fix_node import PACKAGE

from godot_otel import __version__, queue
from godot_otel.queue import scripts
from godot_otel.redact import KEYS
from godot_otel.settings import SETTINGS


def evaluate(node, expression: str):
    source = f"require('fs').writeSync(1, JSON.stringify({expression}))"
    done = node.run("-e", source)
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def test_the_script_of_admission_is_the_same_byte_for_byte(node):
    found = evaluate(node, f"require('{PACKAGE}/src/queue/scripts').ADMIT")
    assert found == scripts.ADMIT


def test_keys_and_limits_are_the_same(node):
    found = evaluate(node, f"require('{PACKAGE}/src/queue/keys')")
    assert found == {
        "CONTRACT": queue.CONTRACT.decode(),
        "MAX_BATCH_BYTES": queue.MAX_BATCH_BYTES,
        "DEFAULT_MAX_BYTES": queue.DEFAULT_MAX_BYTES,
        "DEFAULT_MAX_RECORDS": queue.DEFAULT_MAX_RECORDS,
    }
    keys = f"require('{PACKAGE}/src/queue/keys')"
    assert evaluate(node, f"{keys}.streamKey()") == queue.stream_key()
    assert evaluate(node, f"{keys}.metaKey()") == queue.meta_key()


def test_names_of_secrets_are_the_same(node):
    assert evaluate(node, f"require('{PACKAGE}/src/redact').KEYS") == list(KEYS)


def test_variables_and_their_defaults_are_the_same(node):
    """All of Node's are Python's; a later version's for spans may be here before."""
    theirs = evaluate(node, f"require('{PACKAGE}/src/settings').SETTINGS")
    ours = {setting.env: setting.default for setting in SETTINGS}
    found = {
        variable: default
        for variable, default, *_ in theirs.values()
        if "_BLRP_" not in variable and "_BSP_" not in variable
    }
    known = {name: default for name, default in found.items() if name in ours}
    assert known == {
        name: list(ours[name]) if isinstance(ours[name], tuple) else ours[name]
        for name in known
    }
    assert all("_TRACES_" in name for name in found.keys() - known.keys())


def test_the_versions_are_the_same():
    package = json.loads((PACKAGE / "package.json").read_text())
    lock = json.loads((PACKAGE / "package-lock.json").read_text())
    assert (package["version"], lock["version"]) == (__version__, __version__)
