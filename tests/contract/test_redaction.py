"""The redactor for Node.js finds what Python's finds, no more and no less.

What Python's finds in the same cases is held by ``tests/exporter/test_redact.py``.
"""

from __future__ import annotations

import json
import random

from fix_contract import EMIT
from redact_samples import (
    BROKEN_UP,
    HARMLESS_NAMES,
    HARMLESS_TEXTS,
    SECRET_NAMES,
    SECRET_TEXTS,
)

from godot_otel.redact import Redactor


def answers(node, kind: str, asked: list[str]) -> list:
    done = node.run(EMIT, kind, stdin=json.dumps({"cases": asked}))
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def test_texts_of_the_cases(node):
    cases = [*SECRET_TEXTS, *((text, text) for text in HARMLESS_TEXTS)]
    found = answers(node, "texts", [text for text, _ in cases])
    wrong = [
        (text, becomes, got)
        for (text, becomes), got in zip(cases, found, strict=True)
        if becomes != got
    ]
    assert not wrong


def test_names_of_the_cases(node):
    asked = [*SECRET_NAMES, *HARMLESS_NAMES]
    secret = dict(zip(asked, answers(node, "names", asked), strict=True))
    assert [name for name in asked if secret[name]] == SECRET_NAMES


def test_any_other_text(node):
    chance, redactor = random.Random(11), Redactor()
    pieces = [
        *BROKEN_UP,
        "hunter2",
        "password=",
        "--token ",
        "Set-Cookie: ",
        "redis://:",
    ]
    texts = [
        "".join(chance.choices(pieces, k=chance.randint(2, 14))) for _ in range(20_000)
    ]
    wrong = [
        (text, redactor.text(text), got)
        for text, got in zip(texts, answers(node, "texts", texts), strict=True)
        if redactor.text(text) != got
    ]
    assert not wrong
