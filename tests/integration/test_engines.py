"""The archive as other programs see it: DuckDB reads the files as they lie, Dask folds them."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from click.testing import CliRunner
from distributed import LocalCluster

from archiver.archiver import Archiver
from archiver.closing import Rules
from cli.main import main
from shared.archive import FolderArchive
from shared.events import InvocationProfiled
from shared.log import Log
from shared.retention import Retention
from shared.settings import Settings
from shared.topology import PROFILES
from shared.whole_log import WholeLog
from tests.fixtures_redis import RedisServer
from tests.unit.test_tuner_fold import make_history
from tuner.account import save_accounts
from tuner.dask_fold import Workers, share_out
from tuner.history import Period, WholeHistory
from tuner.replay import fold_all


def archive_live(url: str, folder: Path, history: list[InvocationProfiled]) -> None:
    """Append to a log of two partitions, and archive all of it in files of 100 rows."""
    log, retention = Log(url, 2), Retention(url)
    for event in history:
        log.append(event, partition=log.partition_of(event.execution.function_id))
    rules = Rules(age_ms_max=0, rows_max=100, keep_ms=0)
    archiver = Archiver(retention, FolderArchive(folder), 2, rules, lambda: 1 << 50)
    while archiver.run_once():
        pass
    retention.close()
    log.close()


def ask(question: str) -> list[tuple[Any, ...]]:
    """What DuckDB answers."""
    answer = duckdb.sql(question)
    assert answer is not None
    return answer.fetchall()


def test_duckdb_reads_it_as_it_lies(redis_server: RedisServer, tmp_path: Path) -> None:
    """Counts by folder, sums of columns, and what is in the JSON beside them."""
    history = make_history(600)
    archive_live(redis_server.url, tmp_path, history)
    files = f"read_parquet('{tmp_path}/stream=*/*/*/*.parquet', hive_partitioning = true)"
    by_folder = ask(
        f"SELECT stream, partition, count(*), count(DISTINCT date) FROM {files} GROUP BY ALL"  # noqa: S608
    )
    (totals,) = ask(
        f"SELECT sum(run_us), count(DISTINCT event_id), "  # noqa: S608
        f"sum((event->>'$.profile.memory_peak_bytes')::BIGINT) FROM {files} "
        f"WHERE stream = 'profiles' AND type = 'InvocationProfiled'"
    )

    log = Log(redis_server.url, 2)
    partitions = Counter(log.partition_of(one.execution.function_id) for one in history)
    assert {(PROFILES.name, partition, count) for partition, count in partitions.items()} == {
        (stream, int(partition), count) for stream, partition, count, _ in by_folder
    }
    assert totals == (
        sum(one.execution.phases.run_us for one in history),
        len(history),
        sum(one.profile.memory_peak_bytes for one in history),
    )
    log.close()


@pytest.fixture
def scheduler() -> Iterator[str]:
    """The address of a cluster of two worker processes on this machine."""
    make: Any = LocalCluster
    with make(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
    ) as cluster:
        yield cluster.scheduler_address


@pytest.mark.timeout(180)
def test_a_cluster_folds_the_same(
    redis_server: RedisServer,
    tmp_path: Path,
    scheduler: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`hearth replay --on` prints what it prints without; accounts are the same to the byte."""
    monkeypatch.setenv("REDIS_URL", redis_server.url)
    monkeypatch.setenv("ARCHIVE_DIR", str(tmp_path))
    monkeypatch.setenv("PARTITIONS", "2")
    history = make_history(3_000)
    archive_live(redis_server.url, tmp_path, history[:2_500])
    log = Log(redis_server.url, 2)
    for event in history[2_500:]:
        log.append(event, partition=log.partition_of(event.execution.function_id))
    log.close()

    settings = Settings(redis_url=redis_server.url, archive_dir=str(tmp_path), partitions=2)
    whole_log = WholeLog(Retention(redis_server.url), FolderArchive(tmp_path))
    whole = WholeHistory(whole_log, 2)
    workers = Workers(scheduler, settings)
    for period in (Period(), Period(10_000_000)):
        expected = save_accounts(fold_all(whole.read(period)))
        assert len(expected) > 1_000
        assert expected == save_accounts(workers.fold(whole.find_pieces(), period))
    workers.close()
    for command in ("replay", "whatif"):
        here = CliRunner().invoke(main, [command, "--json"])
        there = CliRunner().invoke(main, [command, "--json", "--on", scheduler])
        assert (0, here.output) == (there.exit_code, there.output)


def test_functions_are_shared_out_evenly() -> None:
    """The largest first, each to who has least; no share is empty."""
    counts = Counter({"a": 100, "b": 50, "c": 40, "d": 10, "e": 1})

    assert [("a", "e"), ("b", "c", "d")] == [tuple(sorted(share)) for share in share_out(counts, 2)]
    assert 5 == len(share_out(counts, 9))
