"""The two error families: what the caller does next decides which one it is.

The docstring of a class is its default message.
"""

from __future__ import annotations


class GodotError(Exception):
    """Something in godot-otel went wrong."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (self.__doc__ or "").strip())


class RetryableError(GodotError):
    """The same call may succeed later; wait and repeat it."""


class PermanentError(GodotError):
    """The same data can never succeed; set it aside and go on."""


class SettingError(GodotError):
    """A setting, argument or state of this machine must be changed by a person.

    Commands print the message as one sentence and exit with status 2.
    """


class QueueFullError(RetryableError):
    """The queue is full; it takes more once the collectors have caught up."""


class StoreUnreachableError(RetryableError):
    """The store cannot be reached; what was accepted waits in the queue."""


class SchemaError(SettingError):
    """The store's schema and this version of godot-otel do not fit each other."""
