"""What ``pip install`` brings, and what runs with it, in clean environments."""

import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
CHECKOUT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def application(install):
    """``pip install godot-otel``: what goes into the user's application."""
    return install()


@pytest.fixture(scope="module")
def everything(install):
    """``pip install 'godot-otel[all]' django``."""
    return install("[all]", "django")


def test_the_wheel_has_the_sql_files_and_no_generic_folder(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    for folder in ("migrations", "queries"):
        files = {file.name for file in (CHECKOUT / "sql" / folder).glob("*.sql")}
        packed = f"godot_otel/_sql/{folder}/"
        assert {n.removeprefix(packed) for n in names if n.startswith(packed)} == files
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {
        "godot_otel", "godot_otel_exporter", "godot_otel_collector",
    }  # fmt: skip # one set


def test_an_application_gets_no_server_library(application):
    found = application.distributions()
    assert "godot-otel" in found
    assert "redis" in found
    unwanted = {"psycopg", "psycopg-binary", "mcp", "pydantic", "numpy", "click"}
    assert not unwanted & found


def test_an_application_runs_instrumented_with_the_base_install(application):
    program = "import logging; logging.warning('ran'); raise SystemExit(3)"
    done = application.run("godot-otel", "run", "--", "python", "-c", program)
    assert done.returncode == 3, done.stderr
    assert "ran" in done.stderr
    said = [line for line in done.stderr.splitlines() if "godot-otel" in line]
    assert len(said) == 1
    assert "`godot-otel up`" in said[0]


def test_the_base_install_explains_itself(application):
    for flag in ("--help", "-h"):
        done = application.run("godot-otel", flag)
        assert done.returncode == 0
        assert "pip install 'godot-otel[all]'" in done.stdout
        assert done.stderr == ""
    assert application.run("godot-otel", "--version").stdout.startswith("godot-otel ")


def test_the_base_install_has_a_doctor_who_says_what_it_cannot_check(application):
    done = application.run("godot-otel", "doctor")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "not checked: psycopg" in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize("command", ["up", "query", "migrate"])
def test_a_command_of_the_servers_names_the_install_that_brings_it(
    application, command
):
    done = application.run("godot-otel", command)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "pip install 'godot-otel[all]'" in done.stderr


def test_with_all_extras_every_command_is_there(everything):
    version = everything.run("godot-otel", "--version")
    assert version.returncode == 0, version.stderr
    for command in ("up", "migrate", "collect", "receive", "mcp", "query", "trace"):
        done = everything.run("godot-otel", command, "--help")
        assert done.returncode == 0, done.stderr
        assert "Usage: godot-otel" in done.stdout


def test_with_all_extras_the_sql_files_come_from_site_packages(everything):
    program = (
        "import godot_otel, godot_otel_collector; from godot_otel import sql;"
        " print(godot_otel.__file__, len(sql.migrations()), len(sql.query('ledger')))"
    )
    done = everything.run("python", "-c", program)
    assert done.returncode == 0, done.stderr
    file, migrations, length = done.stdout.split()
    assert "site-packages" in file
    assert int(migrations) == len(list((CHECKOUT / "sql/migrations").glob("*.sql")))
    assert int(length) > 0


def test_importing_the_exporter_does_not_import_the_queue_client(application):
    program = "import sys, godot_otel_exporter; print('redis' in sys.modules)"
    assert application.run("python", "-c", program).stdout == "False\n"


def test_a_django_site_runs_whoever_names_its_settings(everything):
    """`manage.py` does, when Django's instrumentor has looked for them already."""
    folder = everything.elsewhere / "site"
    (folder / "pages").mkdir(parents=True)
    (folder / "pages/__init__.py").touch()
    (folder / "pages/settings.py").write_text("SECRET_KEY = 'x'\nOURS = 7\n")
    (folder / "manage.py").write_text(
        "import os; os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'pages.settings')\n"
        "from django.conf import settings\n"
        "print(settings.OURS, *(m.split('.')[0] for m in settings.MIDDLEWARE))\n"
    )
    command = ("godot-otel", "run", "--", "python", str(folder / "manage.py"))
    done = everything.run(*command)
    assert (done.returncode, done.stdout) == (0, "7\n"), done.stderr
    assert "not instrumented: django (set DJANGO_SETTINGS_MODULE" in done.stderr
    named = {"DJANGO_SETTINGS_MODULE": "pages.settings"}
    done = everything.run(*command, **named)  # in a folder where it cannot be found
    assert (done.returncode, done.stdout) == (0, "7\n"), done.stderr
    done = everything.run(*command, PYTHONPATH=str(folder), **named)
    assert (done.returncode, done.stdout) == (0, "7 opentelemetry\n"), done.stderr
