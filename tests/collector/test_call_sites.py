"""Lines of one place in the code have one template, whatever was put into them."""

import asyncio
import csv
import random
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import psycopg
import pytest
from fix_otlp import entry
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from godot_otel import queue
from godot_otel_collector import call_sites
from godot_otel_collector.batch import Batch
from godot_otel_collector.decode import Decoder
from godot_otel_collector.partitions import Partitions
from godot_otel_collector.preparation import Preparation
from godot_otel_collector.writer import Writer

LOGHUB = Path(__file__).parents[3] / "shared" / "data" / "loghub"
NAMES = ("Anna", "Bob", "Carla", "Dmitri", "Eva", "Farid", "Giulia", "Inés", "Łukasz")
FAMILIES = ("Schmidt", "Jones", "García", "Иванов", "Müller", "Haddad", "O'Neill")
STREAM_ID = b"%d-0" % (time.time_ns() // 1_000_000)

Line = tuple[str, int]
"""A body and the number of the code's line."""


class Shop:
    """Lines as a shop's f-strings make them."""

    def __init__(self) -> None:
        self.rng = random.Random(7)

    def one_of(self, words: Iterable[str]) -> str:
        return self.rng.choice(list(words))

    def mail(self) -> str:
        host = self.one_of(["example.com", "mail.example.org", "corp.test"])
        return f"{self.one_of(NAMES)}.{self.rng.randrange(99)}@{host}".lower()

    def url(self) -> str:
        query = "&".join(f"q{n}={self.one_of(NAMES)}" for n in range(3))
        return f"https://{self.one_of(FAMILIES)}.example.com/a?{query}"

    def signed_in(self) -> Line:
        how = self.one_of(["web", "ios", "android", "api"])
        return f"{self.one_of(NAMES)} <{self.mail()}> signed in via {how}", 10

    def served(self) -> Line:
        status, ms = self.one_of(["200", "404", "500"]), self.rng.random() * 100
        method = self.one_of(["GET", "POST", "DELETE"])
        return f"{method} {self.url()} -> {status} in {ms:.2f} ms", 20

    def ordered(self) -> Line:
        total, retry = self.rng.random() * 10**4, self.one_of(["True", "False", "None"])
        state, seconds = self.one_of(["paid", "sent", "lost"]), self.rng.random() / 1e3
        return (
            f"order {self.rng.randrange(10**6)} of {self.one_of(FAMILIES)}:"
            f" state={state}, total {total:.2f} EUR,"
            f" took {seconds}s (retry={retry})", 30,
        )  # fmt: skip # a line and where it is from

    def failed(self) -> Line:
        why = self.one_of(NAMES) + " said" + " no" * self.rng.randrange(12)
        return f"could not mail {self.mail()}: {why}", 40


def record(body: str, line: int, template: str = "") -> LogRecord:
    made = LogRecord(time_unix_nano=time.time_ns(), severity_number=9)
    made.body.string_value = body
    made.attributes.add(key="code.file.path").value.string_value = "/srv/shop/views.py"
    made.attributes.add(key="code.line.number").value.int_value = line
    if template:
        made.attributes.add(key="log.record.template").value.string_value = template
    return made


def batches(records: list[LogRecord], size: int) -> Iterable[queue.Delivered]:
    for start in range(0, len(records), size):
        fields = entry(records[start : start + size]).fields()
        yield STREAM_ID, dict(zip(fields[::2], fields[1::2], strict=True))


def templates(records: list[LogRecord], size: int = 500) -> Counter[str]:
    """Decode; return each template and how many lines have it."""
    decoder = Decoder(retention_days=7)
    found: Counter[str] = Counter()
    for delivery in batches(records, size):
        batch = decoder.decode(delivery)
        assert set(batch.rows.templates) == set(batch.templates)
        found.update(batch.templates[i][1] for i in batch.rows.templates)
    return found


def test_100_000_lines_of_six_places_make_a_handful_of_templates():
    shop = Shop()
    given = ("user %s paid %d", "%s is late by %.1f s", "no %s")
    records = [record(*shop.signed_in()), record(*shop.served())]
    for n in range(100_000 // 6):
        for line in (shop.signed_in(), shop.served(), shop.ordered()):
            records.append(record(*line))
        for place, template in enumerate(given):
            records.append(record(f"{shop.one_of(NAMES)} {n}", 90 + place, template))
    found = templates(records)
    assert set(found) == {
        *given,
        "<*> <*> signed in via <*>",
        "<*> <*> -> <*> in <*>.<*> ms",
        "order <*> of <*>: state=<*>, total <*>.<*> EUR, took <*> (retry=<*>)",
    }


def test_a_line_at_a_time_the_first_few_alone_have_another_template():
    shop = Shop()
    made = (shop.signed_in, shop.served, shop.ordered)
    found = templates([record(*made[n % 3]()) for n in range(1500)], size=1)
    assert len(found) < 20
    assert sum(lines for _, lines in found.most_common(3)) > 1400


def test_texts_of_any_length_share_their_beginning():
    shop = Shop()
    found = templates([record(*shop.failed()) for _ in range(2000)])
    assert len(found) == call_sites.MAX_SHAPES + 1
    assert found.most_common(1)[0][0] == "could not mail <*>: <*> said <*>"


def test_a_place_that_logs_constants_keeps_them():
    constants = [record("cache is warm", 1), record("listening, press Ctrl-C", 2)] * 300
    assert set(templates(constants)) == {"cache is warm", "listening, press Ctrl-C"}


def test_messages_that_come_through_one_function_are_told_apart():
    messages = ["service started", "order lost", "cart emptied", "database is away"]
    found = templates([record(m, 5) for m in messages * 200])
    assert set(messages) <= set(found)
    assert sum(found[m] for m in messages) > 790


def test_places_without_any_common_word_are_bounded_too():
    shop = Shop()
    records = [
        record(f"{shop.one_of(NAMES)} {shop.mail()}", n % 3) for n in range(9000)
    ]
    assert len(templates(records)) < 50


def test_lines_without_a_place_are_masked_as_ever():
    bodies = [f"{name} paid {n}" for n, name in enumerate(NAMES)]
    batch = Decoder(retention_days=7).decode((STREAM_ID, _fields(entry(bodies))))
    assert {t for _, t in batch.templates.values()} == {f"{n} paid <*>" for n in NAMES}


def _fields(given: queue.Entry) -> dict[bytes, bytes]:
    fields = given.fields()
    return dict(zip(fields[::2], fields[1::2], strict=True))


@pytest.mark.parametrize("value", [True, "7", 7.5])
def test_a_line_number_that_is_none_is_ignored(value):
    made = record("Anna paid", 1)
    slot = made.attributes[1].value
    if isinstance(value, bool):
        slot.bool_value = value
    elif isinstance(value, str):
        slot.string_value = value
    else:
        slot.double_value = value
    assert set(templates([made, record("Bob paid", 1)])) == {"Anna paid", "Bob paid"}


def test_no_line_takes_long_whatever_is_in_it():
    rng = random.Random(3)
    slowest = 0.0
    for alphabet in (
        "a0 ",
        "\"'a0 :",
        "0f-x ",
        "=,:a ",
        "://a0w ",
        "0-",
        "'\"",
        "é0 a",
    ):
        line = list("".join(rng.choices(alphabet, k=1000)))
        decoder = Decoder(retention_days=7)
        for _ in range(200):
            line[rng.randrange(1000)] = rng.choice(alphabet)
            delivery = next(iter(batches([record("".join(line), 1)], 1)))
            began = time.process_time()
            decoder.decode(delivery)
            slowest = max(slowest, time.process_time() - began)
    assert slowest < 0.5


def test_memory_is_bounded_in_places_and_in_lines_of_a_place():
    known = call_sites.CallSites()
    for number in range(call_sites.MAX_SITES * 2):
        known.at(("service", "logger", "path", number))
    assert len(known._sites) <= call_sites.MAX_SITES
    site = call_sites.Site()
    for number in range(5000):
        words = " ".join(f"{chr(97 + number % 26)}{i * number}x" for i in range(99))
        site.find(words[: number % 700].encode(), lambda line: line.decode())
    kept = [site._shapes, site._own, site._matchers]
    assert all(len(some) <= 16 for some in kept)
    assert len(site._once) <= 512


@pytest.mark.skipif(not LOGHUB.is_dir(), reason="the real lines are not there")
@pytest.mark.parametrize("name", ["HDFS", "OpenStack", "Spark", "Hadoop", "OpenSSH"])
def test_real_lines_of_one_event_get_about_one_template(name):
    with (LOGHUB / f"{name}_2k.log_structured.csv").open("r", newline="") as file:
        rows = list(csv.DictReader(file))
    records = [record(row["Content"], int(row["EventId"][1:])) for row in rows]
    decoder = Decoder(retention_days=7)
    found: dict[int, Counter[int]] = {}
    for number, delivery in enumerate(batches(records, 100)):
        ids = decoder.decode(delivery).rows.templates
        for row, template_id in zip(rows[number * 100 :], ids, strict=False):
            counted = found.setdefault(int(row["EventId"][1:]), Counter())
            counted[template_id] += 1
    first = sum(counted.most_common(1)[0][1] for counted in found.values())
    assert first > 0.85 * len(rows)
    assert sum(map(len, found.values())) < 2 * len(found) + 10


async def test_rows_that_are_made_again_keep_their_templates(store_dsn):
    """The store knows those, and a decoder that begins anew would find others."""
    partitions = Partitions(store_dsn)
    await partitions.create_ahead()
    preparation = Preparation(retention_days=7)
    calendar = partitions.logs

    async def group(delivered: list[queue.Delivered]):
        found = preparation.of(delivered, calendar)
        assert found.group is not None
        return found.group

    stored = STREAM_ID, _fields(entry([record(f"{n} paid", 1) for n in NAMES]))
    fresh = STREAM_ID[:-1] + b"1", _fields(entry([record("Zoe paid", 1)]))
    writer = Writer(store_dsn, partitions=partitions, stopping=asyncio.Event())
    await writer.write(await group([stored]))
    await writer.write(await group([stored, fresh]))  # delivered twice
    await writer.close()
    assert writer.conflicts == 1
    with psycopg.connect(store_dsn) as connection:
        rows = connection.execute(
            "SELECT template, count(*) FROM log_lines GROUP BY 1"
        ).fetchall()
    assert rows == [("<*> paid", len(NAMES) + 1)]


def test_a_batch_made_again_is_the_same():
    decoder, shop = Decoder(retention_days=7), Shop()
    made = [record(*shop.signed_in()) for _ in range(50)]
    batch: Batch = decoder.decode(next(iter(batches(made, 50))))
    ids, packed = list(batch.rows.templates), list(batch.rows.packed)
    Decoder(retention_days=7).fill(batch)
    assert (batch.rows.templates, batch.rows.packed) == (ids, packed)
