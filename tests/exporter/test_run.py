from __future__ import annotations

import json
import os
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

from godot_otel.cli import main
from godot_otel_exporter import service

APPLICATION = """
    import logging
    logging.getLogger("a").info("hello")
"""


def test_without_a_queue_nothing_is_contacted_and_one_line_names_up(program, godot_run):
    try:
        somebodys = socket.create_server(("127.0.0.1", 6379))
    except OSError:
        pytest.skip("port 6379 is taken: cannot watch who connects to it")
    with somebodys:
        done = program(APPLICATION, *godot_run)
        somebodys.settimeout(0.2)
        with pytest.raises(TimeoutError):
            somebodys.accept()
    assert done.returncode == 0
    assert done.seconds < 7
    (line,) = done.stderr.splitlines()
    assert "start one with `godot-otel up`" in line


def test_without_run_the_exporter_says_it_once(program):
    done = program(
        """
        import logging
        from godot_otel_exporter import configure
        configure(); configure()
        import time
        for _ in range(3):
            logging.getLogger("a").info("hello"); time.sleep(0.3)
        """
    )
    assert done.returncode == 0
    (line,) = done.stderr.splitlines()
    assert "godot-otel up" in line


def test_configure_in_code_gives_what_run_gives(server, program, godot_run):
    source = """
        import logging, sys
        if "run" not in sys.orig_argv:
            from godot_otel_exporter import configure
            {}
        logging.getLogger("a").info("hello")
        logging.getLogger("a").warning("printed")
    """
    in_code = program(
        source.format("configure(); configure()"), GODOT_REDIS_URL=server.url
    )
    run = program(source.format("pass"), *godot_run, GODOT_REDIS_URL=server.url)
    by_variables = program(
        source.format("pass"), Path(sys.executable).parent / "opentelemetry-instrument",
        sys.executable, GODOT_REDIS_URL=server.url, OTEL_PYTHON_DISTRO="godot",
        OTEL_PYTHON_CONFIGURATOR="godot",
    )  # fmt: skip
    assert in_code.stderr == by_variables.stderr == "printed\n"
    assert run.stderr.endswith("\nprinted\n")
    assert server.bodies() == ["hello", "printed"] * 3
    assert server.services() == {"shop"}


def test_configure_takes_arguments_and_leaves_another_setup_alone(server, program):
    done = program(
        f"""
        import logging
        from godot_otel_exporter import configure
        configure(service_name="cart", endpoint={server.url!r}, redact_keys=["card"])
        logging.getLogger("a").info("hello", extra={{"card": "4111"}})
        """
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert server.services() == {"cart"}
    card = next(one for one in server.records()[0].attributes if one.key == "card")
    assert card.value.string_value == "[REDACTED]"
    done = program(
        """
        from opentelemetry._logs import set_logger_provider, get_logger_provider
        from opentelemetry.sdk._logs import LoggerProvider
        from godot_otel_exporter import configure
        mine = LoggerProvider()
        set_logger_provider(mine)
        configure()
        assert get_logger_provider() is mine
        """
    )
    assert done.returncode == 0
    assert "stays as it is" in done.stderr


def test_the_exit_status_and_signals_are_the_programs_own(program, godot_run):
    assert program("raise SystemExit(7)", *godot_run).returncode == 7
    killed = program("import os, signal; os.kill(os.getpid(), 15)", *godot_run)
    assert killed.returncode == -15


@pytest.mark.parametrize("kind", ["refusing", "silent"])
def test_a_process_ends_within_5_s_of_its_own_end(kind, program, godot_run):
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"redis://127.0.0.1:{listener.getsockname()[1]}"
    if kind == "refusing":
        listener.close()
    done = program(
        """
        import atexit, logging, time
        for n in range(2000):
            logging.getLogger("a").info("line %d", n)
        print(time.time(), flush=True)
        """,
        *godot_run,
        GODOT_REDIS_URL=url,
    )
    listener.close()
    ended = time.time()
    assert done.returncode == 0
    assert ended - float(done.stdout) < 5.2
    assert "the queue cannot be used" in done.stderr


def test_the_line_says_service_queue_and_instrumentation(environment, tmp_path, capsys):
    from godot_otel import instrumentors

    became = []
    environment.setattr(os, "execv", lambda *command: became.append(command))
    environment.setenv("GODOT_REDIS_URL", "redis://:secret@somewhere:7/1")
    # a framework that is there, and whose instrumentor surely is not
    environment.setitem(instrumentors._WANTS, "rails", ("rails", "django"))
    (tmp_path / "rails.py").touch()
    environment.syspath_prepend(tmp_path)
    main(["run", "--service", "cart", "--", "python", "x.py"])
    assert became[0][1][1:] == ["x.py"]
    line = capsys.readouterr().err
    queue = "queue redis://somewhere:7/1 for log records and spans"
    assert f"service cart; {queue}; instrumented: " in line
    assert "flask" in line
    assert "not instrumented: rails (pip install 'godot-otel[django]')" in line
    assert "secret" not in line


def test_the_line_names_the_queue_of_each_signal(environment, monkeypatch, capsys):
    monkeypatch.setattr(os, "execv", lambda *_: None)
    one, other = "redis://:secret@one:7/1", "redis://other:7/1"
    for variables, expected in [
        ({"TRACES_": one}, "no queue for log records: start one with `godot-otel up`;"
                           " queue redis://one:7/1 for spans;"),
        ({"": other, "TRACES_": one}, "queue redis://other:7/1 for log records;"
                                      " queue redis://one:7/1 for spans;"),
        ({}, "no queue for log records and spans: start one with `godot-otel up`;"),
    ]:  # fmt: skip # a sentence's end beside its beginning
        with environment.context() as patched:
            for name, url in variables.items():
                patched.setenv(f"OTEL_EXPORTER_GODOT_{name}ENDPOINT", url)
            main(["run", "--", "python", "x.py"])
        line = capsys.readouterr().err
        assert expected in line
        assert "secret" not in line


def test_mistakes_are_one_sentence_and_a_status(environment, capsys):
    assert main(["run"]) == 2
    assert main(["run", "--", "no-such-program"]) == 127
    assert "no-such-program: command not found" in capsys.readouterr().err
    environment.setenv("GODOT_REDIS_ULR", "x")
    assert main(["run", "--", "python"]) == 2
    assert "did you mean GODOT_REDIS_URL?" in capsys.readouterr().err
    environment.delenv("GODOT_REDIS_ULR")
    environment.setenv("OTEL_EXPORTER_GODOT_TIMEOUT", "soon")
    assert main(["run", "--", "python"]) == 2


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("python app.py", "app"), ("python3.11 -u -W error dir/app.py x", "app"),
        ("/bin/python -m shop.cart", "shop.cart"), ("flask run", "flask"),
        ("python /venv/bin/flask run", "flask"), ("python -c pass", "python"),
        ("python pkg/__main__.py", "pkg"), ("", "python"),
    ],
)  # fmt: skip
def test_a_service_without_a_name_is_called_after_its_program(command, name):
    assert service.name_of(command.split()) == name


def test_a_name_that_was_given_stays(environment):
    assert service.named() is None
    environment.setenv("OTEL_RESOURCE_ATTRIBUTES", "a=b, service.name=cart")
    assert service.named() == "cart"
    environment.setenv("OTEL_SERVICE_NAME", "shop")
    assert service.named() == "shop"


def test_importing_the_package_is_cheap():
    def seconds(statement: str) -> float:
        program = (
            "import time; import opentelemetry.sdk._logs; t = time.perf_counter();"
            f"{statement}; import sys; assert 'redis' not in sys.modules;"
            "print(time.perf_counter() - t)"
        )
        return float(subprocess.check_output([sys.executable, "-c", program]))

    times = [seconds("import godot_otel_exporter") for _ in range(3)]
    assert min(times) < 0.05, statistics.median(times)


OTHER = """
from opentelemetry.instrumentation.distro import BaseDistro
class Distro(BaseDistro):
    def _configure(self, **kwargs): print("other distro")
class Configurator:
    def configure(self, **kwargs): print("other configurator")
"""


@pytest.mark.parametrize("wheel", ["aaa", "zzz"])
def test_unselected_the_next_distro_gets_the_word(wheel, tmp_path, program):
    registered = Path(__file__).parents[2].joinpath("pyproject.toml").read_text()
    if "opentelemetry_configurator" in registered:
        pytest.skip(
            "pyproject.toml registers a configurator: OpenTelemetry then warns whoever"
            " has another one, before any code of ours runs"
        )
    site = tmp_path / "site"
    info = site / f"{wheel}-1.dist-info"
    info.mkdir(parents=True)
    site.joinpath("other.py").write_text(OTHER)
    info.joinpath("METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {wheel}\nVersion: 1\n"
    )
    info.joinpath("entry_points.txt").write_text(
        "[opentelemetry_distro]\nother = other:Distro\n"
        "[opentelemetry_configurator]\nother = other:Configurator\n"
    )
    instrument = Path(sys.executable).parent / "opentelemetry-instrument"
    done = program(
        "print('application')", instrument, sys.executable, PYTHONPATH=str(site)
    )
    assert done.stdout.split("\n")[:3] == [
        "other distro", "other configurator", "application",
    ]  # fmt: skip
    assert done.stderr == ""


def test_unselected_and_alone_nothing_happens(program):
    instrument = Path(sys.executable).parent / "opentelemetry-instrument"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"redis://127.0.0.1:{listener.getsockname()[1]}"
        done = program(APPLICATION, instrument, sys.executable, GODOT_REDIS_URL=url)
        listener.settimeout(0.2)
        with pytest.raises(TimeoutError):
            listener.accept()
    assert (done.returncode, done.stderr) == (0, "")


def test_a_set_up_that_fails_is_said_and_the_program_runs(server, program, godot_run):
    done = program(
        "print('runs')",
        *godot_run,
        GODOT_REDIS_URL=server.url,
        OTEL_TRACES_EXPORTER="nosuch",
    )
    assert (done.returncode, done.stdout) == (0, "runs\n")
    assert "godot-otel: log records and spans are NOT exported:" in done.stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [("OTEL_SDK_DISABLED", "true"), ("OTEL_LOGS_EXPORTER", "none"),
     ("OTEL_TRACES_EXPORTER", "none")],
)  # fmt: skip # pairs
def test_the_line_says_by_which_variable_nothing_is_exported(
    name, value, server, program, godot_run
):
    done = program(
        "import logging; logging.warning('x')",
        *godot_run,
        GODOT_REDIS_URL=server.url,
        **{name: value},
    )
    assert server.bodies() == (["x"] if name == "OTEL_TRACES_EXPORTER" else [])
    first = done.stderr.splitlines()[0]
    assert "NOT" in first
    assert name in first
    goes = {"OTEL_LOGS_EXPORTER": " for spans;",
            "OTEL_TRACES_EXPORTER": " for log records;"}  # fmt: skip # pairs
    assert ("redis://" in first) == (name in goes)
    assert goes.get(name, "") in first


def test_a_command_that_cannot_be_executed_is_said(tmp_path, godot_run):
    script = tmp_path / "no-shebang"
    script.write_text("echo hello")
    script.chmod(0o755)
    done = subprocess.run([*godot_run[:3], script], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (126, "")
    assert done.stderr.endswith(f"godot-otel run: {script}: Exec format error\n")


def test_python_path_of_the_application_is_kept(server, program, godot_run, tmp_path):
    done = program(
        "import os; print(os.environ['PYTHONPATH'].split(os.pathsep)[-2:])",
        *godot_run,
        GODOT_REDIS_URL=server.url,
        PYTHONPATH=f"{tmp_path}/a:{tmp_path}/b",
    )
    assert done.stdout == f"['{tmp_path}/a', '{tmp_path}/b']\n"


def test_a_record_without_a_name_is_exported_and_nothing_raised(
    server, program, godot_run
):
    done = program(
        """
        import logging
        for name in (None, 7, []):
            nameless = logging.makeLogRecord({"levelno": 30, "msg": "x", "name": name})
            logging.getLogger().handle(nameless)
        print("went on")
        """,
        *godot_run,
        GODOT_REDIS_URL=server.url,
    )
    assert (done.returncode, done.stdout) == (0, "went on\n")
    assert server.bodies()[:2] == ["x", "x"]


def test_a_call_that_cannot_be_captured_is_counted(server, program, godot_run):
    done = program(
        """
        import logging
        odd = logging.makeLogRecord({"name": "a", "levelno": 20, "msg": "odd"})
        del odd.created
        logging.getLogger("a").handle(odd)
        logging.getLogger("a").error("good")
        """,
        *godot_run,
        GODOT_REDIS_URL=server.url,
    )
    said = "a log record is lost: KeyError"
    assert (done.returncode, server.bodies()) == (0, [said, "good"])
    assert f"godot-otel: {said}" in done.stderr
    source = json.loads(server.entries()[-1][b"source"])
    assert (source["emitted"], source["dropped"]) == (3, {"internal": 1})
