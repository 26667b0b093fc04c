"""The archiver on a real Redis: nothing is trimmed too early, nothing is missing or there twice."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import redis

from archiver.archiver import ArchiveDiffersError, Archiver
from archiver.closing import Rules
from archiver.process import build, run
from shared.archive import Archive, ArchiveUnavailableError, FolderArchive, S3Archive
from shared.events import CostModelRefreshed
from shared.log import Log
from shared.retention import Retention
from shared.settings import Settings
from shared.stretch import parse_entry_id
from shared.topology import DEAD, MODELS, PROFILES, REQUESTS, archive_key, key
from shared.whole_log import Span, WholeLog, list_places
from tests.fixtures_redis import RedisServer
from tests.integration.archiving import (
    AT_ONCE,
    acknowledge,
    make_archiver,
    read_all,
    read_piece,
)
from tests.unit.test_tuner import make_event

SEAMS = ("before-plan", "before-file", "before-line", "before-finish", "before-trim", "after-trim")


def append(url: str, count: int, begin: int = 0) -> list[tuple[str, bytes]]:
    """So many profiles; what the stream holds."""
    log = Log(url)
    for number in range(begin, begin + count):
        log.append(make_event(number, function_id=f"f{number % 7}"), partition=0)
    log.close()
    client: Any = redis.Redis.from_url(url)
    return [(one.decode(), fields[b"event"]) for one, fields in client.xrange(key(PROFILES, 0))]


@pytest.fixture
def client(redis_server: RedisServer) -> Any:
    return redis.Redis.from_url(redis_server.url)


@pytest.fixture
def archiver(redis_server: RedisServer, tmp_path: Path) -> Iterator[Archiver]:
    made = make_archiver(redis_server.url, tmp_path / "archive")
    yield made
    made.retention.close()


def test_what_no_group_has_handled_stays(
    redis_server: RedisServer, client: Any, archiver: Archiver
) -> None:
    """Archived at once, trimmed only behind the slowest group, and never what is pending."""
    whole = append(redis_server.url, 250)
    assert [100, 100, 50, 0] == [archiver.run_once() for _ in range(4)]
    assert 250 == client.xlen(key(PROFILES, 0))  # no group at all

    inbox = acknowledge(redis_server.url, PROFILES, 60, hold=40)
    archiver.run_once()
    assert 190 == client.xlen(key(PROFILES, 0))
    # What ingest and scaling go by is right after a trim too.
    assert 190 == Log(redis_server.url).backlog(PROFILES)
    client.xgroup_create(key(PROFILES, 0), "slower", "0")
    inbox.close()
    acknowledge(redis_server.url, PROFILES, 150).close()
    archiver.run_once()
    assert 190 == client.xlen(key(PROFILES, 0))
    client.xgroup_setid(key(PROFILES, 0), "slower", "$")
    archiver.run_once()

    assert 40 == client.xlen(key(PROFILES, 0))  # what was held, and handed back to the group
    assert whole == read_all(archiver, PROFILES)


def test_what_is_kept_for_people(
    redis_server: RedisServer, client: Any, archiver: Archiver
) -> None:
    """For as long as it is to be kept; what is not archived stays in any case."""
    append(redis_server.url, 30)
    acknowledge(redis_server.url, PROFILES, 30).close()
    archiver.rules = Rules(age_ms_max=600_000, rows_max=100, keep_ms=0)
    assert 0 == archiver.run_once()
    archiver.rules = Rules(age_ms_max=0, rows_max=100, keep_ms=3_600_000)
    assert 30 == archiver.run_once()
    assert 30 == client.xlen(key(PROFILES, 0))
    archiver.rules = AT_ONCE
    archiver.run_once()

    assert 0 == client.xlen(key(PROFILES, 0))


def test_dead_letters_and_bytes_of_any_kind(
    redis_server: RedisServer, client: Any, archiver: Archiver
) -> None:
    """What is no event, and what is no text, is archived byte for byte; dead letters stay."""
    payloads = [b"{", b"\xff\xfe", b"", b'{"type":"InvocationProfiled"}', b"[1]", b'{"type":7}']
    for payload in payloads:
        client.xadd(key(REQUESTS, 0), {"event": payload})
    Log(redis_server.url).bury_message("ingest", b"\xff", "no JSON", "m1")
    acknowledge(redis_server.url, DEAD, 1).close()
    assert 7 == archiver.run_once()

    assert payloads == [payload for _, payload in read_all(archiver, REQUESTS)]
    assert 1 == client.xlen(key(DEAD, 0))


def test_the_models_that_count_stay(
    redis_server: RedisServer, client: Any, archiver: Archiver
) -> None:
    """Of each function the latest: a tuner goes on from them."""
    log = Log(redis_server.url)
    ids = [
        log.append(
            CostModelRefreshed(
                event_id=str(number), invocation_id="", causation_id="", occurred_at_ms=1,
                function_id=name, until_entry="0-0", invocation_count=1, state=b"",
            ),
            partition=0,
        )
        for number, name in enumerate("abcbcacb")
    ]  # fmt: skip
    archiver.run_once()

    assert ids[5:] == [one.decode() for one, _ in client.xrange(key(MODELS, 0))]
    log.close()


def test_reading_while_it_is_archived_and_trimmed(
    redis_server: RedisServer, client: Any, archiver: Archiver
) -> None:
    """At every step of a reader everything may move: it sees each entry once, in order."""
    whole = append(redis_server.url, 1_400)
    acknowledge(redis_server.url, PROFILES, 1_400).close()
    found: list[tuple[str, bytes]] = []
    reader = WholeLog(archiver.retention, archiver.archive).read(PROFILES, Span())
    for step, piece in enumerate(reader):
        found += read_piece(piece)
        for _ in range(3 * (step % 3)):
            archiver.run_once()

    assert whole == found
    assert client.xlen(key(PROFILES, 0)) < 1_400


def test_a_span_is_a_part(redis_server: RedisServer, archiver: Archiver) -> None:
    """After one entry, up to another, wherever each of them lies by now."""
    whole = append(redis_server.url, 350)
    acknowledge(redis_server.url, PROFILES, 350).close()
    archiver.run_once()
    archiver.run_once()
    log = WholeLog(archiver.retention, archiver.archive)
    for first, last in ((0, 349), (50, 150), (99, 100), (150, 320), (200, 201), (349, 349)):
        span = Span(0, whole[first][0], whole[last][0])
        read = [one for piece in log.read(PROFILES, span) for one in _within(span, piece)]
        assert whole[first + 1 : last + 1] == read


def _within(span: Span, piece: Any) -> list[tuple[str, bytes]]:
    after, until = parse_entry_id(span.after), parse_entry_id(span.until)
    return [one for one in read_piece(piece) if after < parse_entry_id(one[0]) <= until]


@pytest.mark.parametrize("seam", SEAMS)
def test_killed_at_a_seam(redis_server: RedisServer, tmp_path: Path, seam: str) -> None:
    """SIGKILL at the seam, others append, a new one goes on: no gap, no double, no other file."""
    append(redis_server.url, 150)
    acknowledge(redis_server.url, PROFILES, 150).close()
    folder = tmp_path / "archive"
    program = [sys.executable, "-m", "tests.crash.die_archiving"]
    command = [*program, seam, redis_server.url, str(folder)]
    assert -9 == subprocess.run(command, check=False, timeout=30).returncode
    append(redis_server.url, 70, begin=150)
    archiver = make_archiver(redis_server.url, folder)
    while archiver.run_once():
        pass
    found = read_all(archiver, PROFILES)

    events = [payload.split(b'"req-')[1].split(b'"')[0] for _, payload in found]
    assert [str(number).encode() for number in range(220)] == events
    # An engine that reads the files and knows no manifest sees the same.
    files = list(folder.glob("stream=profiles/*/*/*.parquet"))
    assert 220 == sum(pl.read_parquet(file, columns=["event_id"]).height for file in files)
    assert len(list_places(archiver.archive, PROFILES)) == len(files)
    archiver.retention.close()


def test_two_archivers_at_once(redis_server: RedisServer, tmp_path: Path) -> None:
    """A leader that was taken for dead and comes back makes the same files; nothing doubles."""
    whole = append(redis_server.url, 300)
    acknowledge(redis_server.url, PROFILES, 300).close()
    one, other = (make_archiver(redis_server.url, tmp_path / "a") for _ in range(2))
    put = other.archive.put
    seen: list[str] = []

    def put_late(name: str, content: bytes) -> None:
        if not seen:
            seen.append(name)
            while one.run_once():
                pass
        put(name, content)

    other.archive.put = put_late  # type: ignore[method-assign]
    while other.run_once():
        pass

    assert whole == read_all(one, PROFILES)
    assert 3 == len(list_places(one.archive, PROFILES))
    for archiver in (one, other):
        archiver.retention.close()


def test_a_redis_that_knows_less_than_the_archive(
    redis_server: RedisServer, client: Any, tmp_path: Path
) -> None:
    """Marks that were lost are found again; an archive of another log is refused."""
    whole = append(redis_server.url, 150)
    archiver = make_archiver(redis_server.url, tmp_path / "a")
    archiver.run_once()
    client.delete(archive_key(0))
    fresh = make_archiver(redis_server.url, tmp_path / "a")
    assert [50, 0] == [fresh.run_once() for _ in range(2)]
    assert whole == read_all(fresh, PROFILES)

    client.hset(archive_key(0), "profiles:until", whole[20][0])
    with pytest.raises(ArchiveDiffersError, match="another log"):
        make_archiver(redis_server.url, tmp_path / "a").run_once()
    for one in (archiver, fresh):
        one.retention.close()


def test_a_file_that_was_changed_is_refused(
    redis_server: RedisServer, archiver: Archiver, tmp_path: Path
) -> None:
    """By its digest; a manifest that lacks something is an error too, and no gap."""
    append(redis_server.url, 150)
    acknowledge(redis_server.url, PROFILES, 150).close()
    archiver.run_once()
    archiver.run_once()
    (file, _) = (tmp_path / "archive").rglob("*.parquet")
    content = file.read_bytes()
    file.write_bytes(content[:-1] + b"?")
    with pytest.raises(ArchiveUnavailableError, match="digest"):
        read_all(archiver, PROFILES)
    file.write_bytes(content)
    assert 150 == len(read_all(archiver, PROFILES))
    newest = list_places(archiver.archive, PROFILES)[-1]
    (tmp_path / "archive" / newest.name).unlink()
    with pytest.raises(ArchiveUnavailableError, match="archive of profiles ends"):
        read_all(archiver, PROFILES)


@pytest.mark.parametrize("kind", ["folder", "s3"])
def test_files_by_name(kind: str, tmp_path: Path, s3: Any, bucket: str) -> None:
    """The same of both archives: whole or not at all, again is the same, what is absent is told."""
    archive: Archive = S3Archive(s3, bucket) if kind == "s3" else FolderArchive(tmp_path / "none")
    assert [] == archive.names("a/")
    for name in ("a/b=1/x.json", "a/b=2/y.json", "a/b=2/y.json", "c/z.json"):
        archive.put(name, name.encode())

    assert ["a/b=1/x.json", "a/b=2/y.json"] == sorted(archive.names("a/"))
    assert b"c/z.json" == archive.get("c/z.json")
    with pytest.raises(ArchiveUnavailableError):
        archive.get("a/absent.json")


def test_the_process(redis_server: RedisServer, s3: Any, bucket: str, aws_port: int) -> None:
    """It archives to S3 by the settings, waits for a bucket that is not there, and ends."""
    settings = Settings(
        redis_url=redis_server.url, local_aws_port=aws_port, s3_archive_bucket=f"{bucket}-archive",
        archive_seconds=1, log_keep_seconds=0,
    )  # fmt: skip
    whole = append(redis_server.url, 20)
    acknowledge(redis_server.url, PROFILES, 20).close()
    stop = threading.Event()
    thread = threading.Thread(target=run, args=(settings, stop), daemon=True)
    thread.start()
    stop.wait(1.5)
    s3.create_bucket(Bucket=f"{bucket}-archive")
    client: Any = redis.Redis.from_url(redis_server.url)
    for _ in range(200):
        if not client.xlen(key(PROFILES, 0)):
            break
        stop.wait(0.05)
    stop.set()
    thread.join()

    assert 0 == client.xlen(key(PROFILES, 0))
    assert whole == read_all(build(settings), PROFILES)
    retention = Retention(redis_server.url)
    assert retention.read_memory().used_bytes > 0
    retention.close()
