"""Texts with secrets, without, and torn ones: what the redactor's tests are about.

They are the cases that every language's exporter passes, in ``tests/contract``.
"""

import json
from pathlib import Path

_CASES = Path(__file__).parent / "contract" / "redaction"


def case(name: str) -> dict:
    return json.loads((_CASES / f"{name}.json").read_text("utf-8"))


SECRET_TEXTS = [
    (text, becomes)
    for name in ("named", "headers", "urls", "tokens")
    for text, becomes in case(name)["texts"]
]
HARMLESS_TEXTS = [text for text, _ in case("harmless")["texts"]]
SECRET_NAMES = case("names")["secret"]
HARMLESS_NAMES = case("names")["harmless"]
BROKEN_UP = case("pieces")["pieces"]
