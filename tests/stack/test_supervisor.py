from pathlib import Path

from godot_otel.stack.part import Part
from godot_otel.stack.supervisor import Supervisor


class FakePart(Part):
    def __init__(self):
        super().__init__("Part", Path("/nowhere"))
        self.launches = 0
        self.lives = True
        self.works = True

    def launch(self):
        self.launches += 1
        self.lives = True

    def answers(self):
        return self.works

    def alive(self):
        return self.lives


class Heard:
    def __init__(self):
        self.said = []

    def working(self, what):
        self.said.append(what)

    def works(self, title, where):
        self.said.append(f"{title} {where}")

    def trouble(self, sentence):
        self.said.append(sentence)


def watch(part, heard, monkeypatch):
    monkeypatch.setattr("time.monotonic", lambda: 0.0)
    calls = []
    supervisor = Supervisor(
        [part],
        heard,
        launched=lambda: calls.append("launched"),
        ready=lambda: calls.append("ready"),
    )
    return supervisor, calls


def test_a_part_that_ended_is_started_after_a_second_and_announced_once_it_works(
    monkeypatch,
):
    part, heard = FakePart(), Heard()
    supervisor, calls = watch(part, heard, monkeypatch)
    part.lives = part.works = False
    for now in (10.0, 10.5):
        supervisor.tick(now)
        assert part.launches == 0
    supervisor.tick(11.0)
    supervisor.tick(11.1)
    assert (part.launches, calls) == (1, ["launched"])
    part.works = True
    supervisor.tick(11.2)
    assert calls == ["launched", "ready"]
    assert heard.said[-1] == "Part works again"


def test_a_part_that_keeps_ending_is_started_ever_more_slowly_up_to_30_s(monkeypatch):
    part, heard = FakePart(), Heard()
    supervisor, _ = watch(part, heard, monkeypatch)
    now, waits = 0.0, []
    for _ in range(7):
        part.lives = False
        supervisor.tick(now)
        began, launches = now, part.launches
        while part.launches == launches:
            now += 0.5
            supervisor.tick(now)
        waits.append(now - began)
    assert waits == [1, 2, 4, 8, 16, 30, 30]


def test_a_part_that_worked_for_a_minute_starts_over_with_a_second(monkeypatch):
    part, heard = FakePart(), Heard()
    supervisor, _ = watch(part, heard, monkeypatch)
    part.lives = False
    for now in (0.0, 1.0, 1.1):
        supervisor.tick(now)
    part.lives = False
    supervisor.tick(100.0)
    assert heard.said[-1].endswith("next try in 1 s")


def test_a_part_that_never_answers_is_ended_and_tried_again(monkeypatch):
    part, heard = FakePart(), Heard()
    supervisor, _ = watch(part, heard, monkeypatch)
    part.lives = part.works = False
    for now in (0.0, 1.0, 1.5, 100.0):
        supervisor.tick(now)
    assert "did not answer" in heard.said[-1]
    supervisor.tick(200.0)
    assert part.launches == 2
