"""What exists is documented: settings, commands, tools, make targets, migrations."""

import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from godot_otel import sql
from godot_otel.access import SCOPES
from godot_otel.cli import APPLICATION, SERVER
from godot_otel.mcp import server
from godot_otel.mcp.authority import Authority
from godot_otel.settings import SETTINGS, Setting

CHECKOUT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def readme() -> str:
    return (CHECKOUT / "README.md").read_text()


def row(setting: Setting) -> str:
    """The README's line for a setting: to mend the table, paste what the test shows."""
    default = setting.default if setting.default not in (None, ()) else ""
    return f"| `{setting.env}` | {setting.type} | {default} | {setting.sentence} |"


def test_the_settings_table_is_the_one_of_the_code(readme):
    table = [line for line in readme.splitlines() if re.match(r"\| `[A-Z_]+` ", line)]
    assert table == [row(setting) for setting in SETTINGS]


@pytest.mark.parametrize("command", [*APPLICATION, *SERVER])
def test_every_command_is_in_the_readme(readme, command):
    assert re.search(rf"^\| `godot-otel {command}\b", readme, re.MULTILINE)


def test_the_readme_names_no_command_that_is_not_there(readme):
    named = set(re.findall(r"godot-otel (?=[a-z])([a-z-]+)(?=[ `\n])", readme))
    assert named <= {*APPLICATION, *SERVER}


async def test_every_mcp_tool_is_in_the_readme(readme):
    tools = await server.build(SimpleNamespace(), Authority(SCOPES)).list_tools()
    named = set(re.findall(r"^\| `(\w+)` \|.*", readme, re.MULTILINE))
    assert {tool.name for tool in tools} <= named


def test_every_make_target_that_is_named_exists():
    targets = re.findall(r"^([a-z]+):", (CHECKOUT / "Makefile").read_text(), re.M)
    for file in ("README.md", "CONTRIBUTING.md", ".ci/run"):
        text = (CHECKOUT / file).read_text()
        named = re.findall(r"(?:^|`|: )make ([a-z]+)\b", text, re.MULTILINE)
        assert set(named) <= set(targets), file
    assert {"demo", "test"} <= set(targets)


def test_every_file_the_readme_links_to_exists(readme):
    for target in re.findall(r"\]\(([^)#:]+)\)", readme):
        assert (CHECKOUT / target).exists(), target
    for script in re.findall(r"python (benchmarks/\S+\.py)", readme):
        assert (CHECKOUT / script).exists(), script


@pytest.mark.parametrize("migration", sql.migrations(), ids=lambda found: found.name)
def test_every_migration_says_on_top_what_it_is_for(migration):
    assert migration.text.startswith("-- ")
    assert len(migration.text.splitlines()[0]) > 20
