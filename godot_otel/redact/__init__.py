"""What never leaves the process: values with a secret's name, secrets inside texts.

``redactor`` decides; ``named`` finds what a text calls by name (``password=x``),
``bare`` what gives itself away by its form (private keys, tokens, passwords in URLs).
"""

from godot_otel.redact.named import REDACTED
from godot_otel.redact.redactor import KEYS, Redactor

__all__ = ["KEYS", "REDACTED", "Redactor"]
