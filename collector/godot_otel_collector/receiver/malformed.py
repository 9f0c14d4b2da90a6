"""What is wrong with a body or a record, by names of fields and never by values."""

from __future__ import annotations

import json
import re

from google.protobuf.json_format import ParseError
from google.protobuf.message import DecodeError

# What parsers raise: json_format passes on much of what it meets inside.
MALFORMED = (
    DecodeError, ParseError, ValueError, TypeError, AttributeError, LookupError,
    ArithmeticError, RecursionError,
)  # fmt: skip # one list
_FIELD = re.compile(r"Failed to parse (\w+) field: ")
_DEEPEST = 4


class Malformed(ValueError):
    """Its text quotes no value, so that a client and a log may have it."""


def why(error: Exception) -> str:
    """Say what *error* means; its own text may quote the body, and with it a secret."""
    if isinstance(error, Malformed | json.JSONDecodeError):
        return str(error)  # of JSON: what was expected, and its line and column
    if isinstance(error, DecodeError):
        return "it is cut short, is no such message, or has a text that is no UTF-8"
    if isinstance(error, ParseError) and (fields := _fields(str(error))):
        return f"{'.'.join(fields)} is malformed"
    return "it is malformed"


def _fields(text: str) -> list[str]:
    """The path of fields that json_format begins its sentence with."""
    found: list[str] = []
    end = 0
    while len(found) < _DEEPEST and (match := _FIELD.match(text, end)):
        found.append(match[1])
        end = match.end()
    return found
