"""The files of a deployment fit the program: names, ports, units, limits."""

import re
import shutil
import subprocess

import pytest
from fix_compose import CHECKOUT, Image

from godot_otel.cli import SERVER
from godot_otel.settings import SETTINGS

UNITS = sorted((CHECKOUT / "deploy/systemd").iterdir())
KNOWN = {setting.env for setting in SETTINGS}


@pytest.fixture
def ours(services):
    return {n: s for n, s in services.items() if s["image"] == "godot-otel"}


def test_each_part_is_a_command_and_its_variables_are_settings(ours):
    assert set(ours) == {"migrate", "collector", "receiver", "mcp"}
    for service in ours.values():
        assert service["command"][0] in SERVER
        assert set(service["environment"]) <= KNOWN


def test_nothing_is_published_beyond_this_machine(services):
    published = [port for s in services.values() for port in s.get("ports", [])]
    assert len(published) == 3
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_our_parts_have_no_rights_and_write_no_file(ours, tmp_path):
    for service in ours.values():
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
    image = Image(CHECKOUT / "collector/Dockerfile", tmp_path)
    assert image.entrypoint == ["godot-otel"]
    assert image.user.split(":")[0] not in ("0", "root")


def test_the_image_is_built_of_what_it_needs_alone():
    """.dockerignore lets nothing in but the wheel's sources."""
    listed = (CHECKOUT / ".dockerignore").read_text().split()
    assert listed[0] == "*"
    let_in = [line[1:] for line in listed if line.startswith("!")]
    for name in let_in:
        assert (CHECKOUT / name).exists(), name
    build = (CHECKOUT / "pyproject.toml").read_text()
    included = re.search(r"only-include = \[(.*?)\]", build, re.DOTALL)
    for path in re.findall(r'"([^"]+)"', included[1]):
        assert any(path.startswith(name) for name in let_in), path


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_is_well_formed_and_hardened(unit, tmp_path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not here; the units are checked where it is")
    text = unit.read_text()
    (command,) = re.findall(
        r"^ExecStart=/opt/godot-otel/bin/godot-otel (\S+)", text, re.M
    )
    assert command in SERVER
    for other in UNITS:  # they name each other; the program is not installed
        here = other.read_text().replace("/opt/godot-otel/bin/godot-otel", "/bin/true")
        (tmp_path / other.name).write_text(here)
    name = unit.name.replace("@", "@1")
    (tmp_path / unit.name).rename(tmp_path / name)
    verified = subprocess.run(
        ["systemd-analyze", "verify", tmp_path / name], capture_output=True, text=True
    )
    assert (verified.returncode, verified.stderr) == (0, "")
    judged = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=20",
         tmp_path / name], capture_output=True, text=True,
    )  # fmt: skip # exposure of at most 2.0 out of 10
    assert judged.returncode == 0, judged.stdout[-300:]
