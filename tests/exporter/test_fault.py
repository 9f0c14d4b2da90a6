"""Points where a process dies cost nothing, and none is passed by a slip of the pen."""

import importlib

import pytest

from godot_otel import fault, settings


@pytest.fixture
def renewed(monkeypatch):
    """Import the module again with a value of its variable."""

    def renewed(value: str) -> None:
        monkeypatch.setenv(fault.VARIABLE, value)
        importlib.reload(fault)

    yield renewed
    monkeypatch.undo()
    importlib.reload(fault)


def test_without_the_variable_a_point_is_an_empty_function():
    assert fault.point is fault._never
    assert all(fault.point(name) is None for name in fault.POINTS)


@pytest.mark.parametrize(
    "value", ["nowhere:1", "after_read", "after_read:0", "after_read:x", ":1"]
)
def test_a_mistyped_point_is_named_with_those_there_are(renewed, value):
    with pytest.raises(ValueError, match=r"is no POINT:COUNT.*after_read"):
        renewed(value)


def test_other_points_and_earlier_passings_kill_nobody(renewed):
    renewed("after_read:3")
    for name in (*fault.POINTS, *fault.POINTS):
        fault.point(name)


def test_it_is_no_setting_and_no_unknown_one():
    settings.check({fault.VARIABLE: "after_read:1"})
    assert fault.VARIABLE not in {setting.env for setting in settings.SETTINGS}
