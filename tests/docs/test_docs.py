"""What exists is documented: settings, commands, tools, metrics, migrations."""

import importlib.util
import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from godot_otel import __version__, sql
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


@pytest.fixture(scope="module")
def made() -> dict[str, str]:
    """The pages of the documentation, as its hooks fill them."""
    spec = importlib.util.spec_from_file_location("hooks", CHECKOUT / "docs/hooks.py")
    hooks = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hooks)
    return {
        page.stem: hooks.on_page_markdown(page.read_text())
        for page in (CHECKOUT / "docs").glob("*.md")
    }


def test_every_setting_is_on_the_page_of_settings(made):
    for setting in SETTINGS:
        assert row(setting) in made["settings"]


@pytest.mark.parametrize("command", [*APPLICATION, *SERVER])
def test_every_command_is_on_the_page_of_commands_with_its_help(made, command):
    found = re.search(
        rf"^## godot-otel {command}\n\n```text\n(.+?)```", made["commands"], re.M | re.S
    )
    assert "usage: godot-otel" in found[1].lower()
    assert "--help" in found[1]


def test_every_migration_is_on_the_page_of_migrations(made):
    for migration in sql.migrations():
        assert re.search(rf"^## {migration.name}\n\n\w+", made["migrations"], re.M)


def test_every_metric_is_on_the_page_of_metrics(made):
    """Named there as the code names them, less what Prometheus adds."""
    folder = CHECKOUT / "collector/godot_otel_collector"
    named = {
        name
        for file in folder.glob("*.py")
        for name in re.findall(r'"(godot_otel_\w+)"', file.read_text())
    }
    listed = set(re.findall(r"^\| `(godot_otel_\w+)`", made["metrics"], re.M))
    assert len(listed) > 20
    assert {name.removesuffix("_total") for name in named} <= {
        name.removesuffix("_total") for name in listed
    }


def test_every_page_is_in_the_navigation(made):
    shown = re.findall(r"\b([\w-]+)\.md\b", (CHECKOUT / "mkdocs.yml").read_text())
    assert sorted(shown) == sorted(made)


def test_the_documentation_names_no_command_that_is_not_there(made):
    for page, text in made.items():
        named = set(re.findall(r"^\$ .*?godot-otel ([a-z][a-z-]+)", text, re.M))
        assert named <= {*APPLICATION, *SERVER}, page


def test_a_service_joins_the_compose_file_by_six_lines(made):
    block = re.search(r"<!-- compose -->\n```yaml\n(.*?)```", made["deployment"], re.S)
    assert len(block[1].splitlines()) == 6
    (service,) = yaml.safe_load(block[1])["services"].values()
    assert service["env_file"] == "godot-otel/producer.env"


def test_the_version_is_the_same_wherever_it_is_written():
    package = CHECKOUT / "exporters/node/package.json"
    if package.exists():
        assert json.loads(package.read_text())["version"] == __version__
    changelog = (CHECKOUT / "CHANGELOG.md").read_text()
    assert re.search(r"^## \[Unreleased\]$", changelog, re.M)
    for heading in re.findall(r"^## (.+)$", changelog, re.M):
        assert re.fullmatch(
            r"\[Unreleased\]|\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", heading
        )
