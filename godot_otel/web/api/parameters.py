"""What may be asked of the API, in one table: read strictly, described as OpenAPI."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import QueryParams

from godot_otel.query import MAX_LIMIT, FilterError
from godot_otel.query.filters import MAX_CONDITIONS, MAX_TEXT

_WHOLE = re.compile(r"-?\d{1,9}", re.ASCII)
_NUMBER = re.compile(r"-?\d+(\.\d*)?(e[+-]?\d{1,3})?", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Parameter:
    """One query parameter."""

    name: str
    sentence: str
    default: str | int | float | bool = ""
    """Its type is the parameter's."""
    maximum: int = 0
    choices: tuple[str, ...] = ()
    repeated: bool = False

    def read(self, values: Sequence[str]) -> Any:
        """Read what a request gave; its absence is the default.

        Raises:
            FilterError: it is given twice, or is not of its type.
        """
        if self.repeated:
            return tuple(values)
        if len(values) > 1:
            raise FilterError(f"{self.name}: given {len(values)} times")
        if not values or not values[0].strip():
            return self.default
        return self._one(values[0].strip() if self.default != "" else values[0])

    def _one(self, text: str) -> Any:
        if isinstance(self.default, bool):
            if text not in ("true", "false"):
                raise FilterError(f"{self.name}: {text[:100]!r} is not true or false")
            return text == "true"
        if isinstance(self.default, int):
            if not _WHOLE.fullmatch(text):
                raise FilterError(f"{self.name}: {text[:100]!r} is no whole number")
            number = int(text)
            if not 1 <= number <= self.maximum:
                range_ = f"1 to {self.maximum}"
                raise FilterError(f"{self.name}: {number} is not within {range_}")
            return number
        if isinstance(self.default, float):
            if not _NUMBER.fullmatch(text):
                raise FilterError(f"{self.name}: {text[:100]!r} is no number")
            return float(text)
        if self.choices and text not in self.choices:
            some = ", ".join(self.choices)
            raise FilterError(f"{self.name}: {text[:100]!r} is none of {some}")
        return text

    def described(self) -> dict[str, Any]:
        """This row as an OpenAPI parameter object."""
        return {
            "name": self.name,
            "in": "query",
            "description": self.sentence,
            "required": False,
            "schema": self._schema(),
        }

    def _schema(self) -> dict[str, Any]:
        text = {"type": "string", "maxLength": MAX_TEXT}
        if self.repeated:
            return {"type": "array", "items": text, "maxItems": MAX_CONDITIONS}
        if isinstance(self.default, bool):
            return {"type": "boolean", "default": self.default}
        if isinstance(self.default, int):
            bounds = {"minimum": 1, "maximum": self.maximum}
            return {"type": "integer", **bounds, "default": self.default}
        if isinstance(self.default, float):
            return {"type": "number", "minimum": 0, "default": self.default}
        if self.choices:
            return {
                "type": "string",
                "enum": list(self.choices),
                "default": self.default,
            }
        return text


def read(given: QueryParams, table: Collection[Parameter]) -> dict[str, Any]:
    """Read all of a request's parameters, by their names.

    Raises:
        FilterError: one is unknown, given twice or not of its type.
    """
    known = [one.name for one in table]
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f", did you mean {near[0]!r}?" if near else "."
            accepted = ", ".join(known) or "none"
            raise FilterError(
                f"unknown parameter {name[:80]!r}{hint} Accepted: {accepted}"
            )
    return {one.name: one.read(given.getlist(one.name)) for one in table}


CURSOR = Parameter("cursor", "next_cursor of the answer before; with the same filters.")
TRACE_ID = Parameter(
    "trace_id", "32 hex digits, their first 8 or more, or a traceparent."
)
FILTERS = (
    Parameter("service", "Name of a service; a trailing * matches its beginning."),
    Parameter("logger", "Name of a logger; a trailing * matches its beginning."),
    Parameter("environment", "Name of a deployment environment."),
    Parameter("version", "The service's version."),
    Parameter("level", "At least TRACE, DEBUG, INFO, WARN, ERROR or FATAL."),
    Parameter(
        "since", "ISO 8601 with a zone, or -15m, -2h, -7d; default -1h, and with a"
        " trace id all that is kept.",
    ),
    Parameter("until", "Like since; default now."),
    Parameter("search", 'Whole words, all of them, any case; "quoted" in a row.'),
    Parameter(
        "where", "A condition on attributes: key=value key!=value key~regex key>n key<n"
        " 'key exists'; body~regex for the line itself. Up to 8 times.", repeated=True,
    ),
)  # fmt: skip # one row a parameter


def limit(default: int, maximum: int = MAX_LIMIT) -> Parameter:
    """How many rows an answer may have."""
    return Parameter("limit", "At most so many rows.", default, maximum)


def filters(given: dict[str, Any]) -> dict[str, Any]:
    """The filters among *given*, as ``query.parse`` takes them."""
    ours = {"service": "component"}
    names = [one.name for one in (TRACE_ID, *FILTERS) if one.name in given]
    return {ours.get(name, name): given[name] for name in names}
