"""The settings: which are set, which are malformed, which are none at all."""

from __future__ import annotations

import os
from collections.abc import Iterator

from godot_otel import settings
from godot_otel.doctor.check import Check, ok, problem
from godot_otel.errors import SettingError

ABOUT = "settings"


def checks() -> Iterator[Check]:
    """Check each variable; one that is malformed counts as unset from here on."""
    bad = False
    for sentence in settings.unknown():
        bad = True
        yield problem(ABOUT, sentence, "correct its name, or unset it")
    for setting in settings.SETTINGS:
        try:
            setting.value()
        except SettingError as error:
            bad = True
            del os.environ[setting.env]  # the checks to come read the others
            yield problem(ABOUT, str(error), "correct its value, or unset it")
    if not bad:
        here = [s.env for s in settings.SETTINGS if os.environ.get(s.env, "").strip()]
        yield ok(ABOUT, f"set: {', '.join(here)}" if here else "all have their default")
