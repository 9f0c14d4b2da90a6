"""What is wrong with a body or a record, by names of fields and never by values."""

from __future__ import annotations

import json

from google.protobuf.json_format import ParseError
from google.protobuf.message import DecodeError

# What parsers raise: json_format passes on much of what it meets inside.
MALFORMED = (
    DecodeError, ParseError, ValueError, TypeError, AttributeError, LookupError,
    ArithmeticError, RecursionError,
)  # fmt: skip # one list


class Malformed(ValueError):
    """Its text quotes no value, so that a client and a log may have it."""


def why(error: Exception) -> str:
    """Say what *error* means; its own text may quote the body, and with it a secret."""
    if isinstance(error, Malformed | json.JSONDecodeError):
        return str(error)  # of JSON: what was expected, and its line and column
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, DecodeError | UnicodeDecodeError):
        return (
            "it is cut short, nested too deeply, no such message, or has a text that"
            " is no UTF-8"
        )
    return "it is malformed"
