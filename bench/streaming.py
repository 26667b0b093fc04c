"""`python -m bench.streaming`: what streams in through inputS3 and out through OUTPUT_DIR.

A function reads an object while it downloads, and writes a file that is uploaded; the executor is
a process of its own, so its memory is its own: the growth is the highest resident memory during a
run, by the kernel's own mark, over that before it. A plain boto3 client downloads the same object
from the same server in a process of its own, in turns with the function.

S3 is the stand-in of the embedded default: moto, taught to read the range that is asked for (stock
moto copies the whole object for each range, which takes longer than the download). The object
lies in its memory and on its disk, so a run of the default size wants about 10 GB of free memory
for a minute.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import redis
from botocore.config import Config
from msgspec import Raw

from bench.__main__ import describe_machine
from local.stack import Stack, local_environment
from shared.codec import decode, encode
from shared.events import (
    Code,
    Execution,
    InvocationFinished,
    InvocationRequested,
    Outcome,
    Runtime,
    S3Object,
    derive_event_id,
)
from shared.topology import EXECUTIONS, REQUESTS, key

MEBIBYTE = 1 << 20
_PIECE_BYTES = 64 * MEBIBYTE
_SECONDS_MAX = 600
_FIRST_BYTE_RUNS = 20
FUNCTION = """
import os
import time

def handler(event, context):
    what, mebibytes = event
    if what == "write":
        piece = b"x" * (1 << 20)
        with open(os.environ["OUTPUT_DIR"] + "/file", "wb") as file:
            for _ in range(mebibytes):
                file.write(piece)
        return [0, time.time(), mebibytes << 20]
    count, room = 0, bytearray(1 << 20)
    with open(os.environ["INPUT_FILE"], "rb", buffering=0) as stream:
        first = None
        while read := stream.readinto(room):
            first = first or time.time()
            count += read
            if what == "first":
                break
    return [first, time.time(), count]
"""
PLAIN = """
import sys, time, boto3
from boto3.s3.transfer import TransferConfig
endpoint, bucket, key, path = sys.argv[1:]
s3 = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1",
                  aws_access_key_id="local", aws_secret_access_key="local")
s3.head_bucket(Bucket=bucket)
began = time.perf_counter()
if path:
    s3.download_file(bucket, key, path)
else:
    class Nowhere:
        def write(self, data): return len(data)
    s3.download_fileobj(bucket, key, Nowhere())
print(time.perf_counter() - began)
"""


class Bench:
    """A stack of `local` and one executor, asked one invocation after the other."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self.stack = stack
        self.folder = folder
        self.s3 = boto3.client(
            "s3",
            endpoint_url=stack.settings.aws_endpoint,
            region_name=stack.settings.aws_region,
            aws_access_key_id="local",
            aws_secret_access_key="local",  # noqa: S106 - the stand-in takes any
            config=Config(read_timeout=_SECONDS_MAX),  # it joins parts for half a minute
        )
        self._redis: Any = redis.Redis.from_url(stack.settings.redis_address)
        self._last = "0"
        self._runs = 0

    @property
    def executor(self) -> Path:
        """The executor's process."""
        return Path("/proc", str(self.stack.find("executor").pid))

    def deploy(self) -> None:
        """Upload the function."""
        archive = self.folder / "code.zip"
        with zipfile.ZipFile(archive, "w") as target:
            target.writestr("main.py", FUNCTION)
        self.s3.upload_file(str(archive), self.stack.settings.code_bucket, "code.zip")

    def make_object(self, name: str, mebibytes: int) -> None:
        """An object of that size, in pieces."""
        place = {"Bucket": self.stack.settings.code_bucket, "Key": name}
        upload = {**place, "UploadId": self.s3.create_multipart_upload(**place)["UploadId"]}
        parts = []
        for number in range(1, -(-mebibytes * MEBIBYTE // _PIECE_BYTES) + 1):
            left = mebibytes * MEBIBYTE - (number - 1) * _PIECE_BYTES
            body = os.urandom(MEBIBYTE) * (min(left, _PIECE_BYTES) // MEBIBYTE)
            answer = self.s3.upload_part(**upload, PartNumber=number, Body=body)
            parts.append({"PartNumber": number, "ETag": answer["ETag"]})
        self.s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})

    def invoke(self, what: str, mebibytes: int, name: str | None = None) -> tuple[float, Execution]:
        """Run one invocation: when it was appended (Unix time, s), and how it ended."""
        self._runs += 1
        bucket = self.stack.settings.code_bucket
        request = InvocationRequested(
            event_id=derive_event_id(f"run-{self._runs}", "InvocationRequested"),
            invocation_id=f"run-{self._runs}",
            causation_id="bench",
            occurred_at_ms=time.time_ns() // 1_000_000,
            function_id="stream",
            runtime=Runtime.PYTHON,
            handler="main.handler",
            code=Code(bucket=bucket, key="code.zip"),
            memory_mb=1_769,
            timeout_ms=_SECONDS_MAX * 1_000,
            input=Raw(json.dumps([what, mebibytes]).encode()),
            input_s3=None if name is None else S3Object(bucket=bucket, key=name),
        )
        began = time.time()
        self._redis.xadd(key(REQUESTS, 0), {"event": encode(request)})
        while True:
            found = self._redis.xread({key(EXECUTIONS, 0): self._last}, count=1, block=1_000)
            for entry_id, fields in found[0][1] if found else ():
                self._last = entry_id
                event = decode(fields[b"event"])
                if isinstance(event, InvocationFinished):
                    assert event.execution.outcome is Outcome.SUCCEEDED, event.execution
                    return began, event.execution

    def download_plainly(self, name: str, path: str) -> float:
        """Seconds that boto3 takes, with its defaults, in a process of its own."""
        settings = self.stack.settings
        command = [sys.executable, "-c", PLAIN, str(settings.aws_endpoint), settings.code_bucket]
        done = subprocess.run([*command, name, path], capture_output=True, check=True, text=True)
        Path(path).unlink(missing_ok=True) if path else None
        return float(done.stdout)

    def read_memory_mb(self, field: str) -> float:
        """VmRSS or VmHWM of the executor, in MiB."""
        lines = (self.executor / "status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith(field)).split()[1]) / 1024

    @contextmanager
    def memory_growth(self, rows: dict[str, Any], name: str) -> Iterator[None]:
        """Note how far the executor's resident memory rose meanwhile, in MiB."""
        (self.executor / "clear_refs").write_text("5")  # forget the high-water mark
        before = self.read_memory_mb("VmRSS")
        yield
        growth = round(self.read_memory_mb("VmHWM") - before, 1)
        rows[name] = max(rows.get(name, 0.0), growth)


def measure(bench: Bench, mebibytes_in: int, mebibytes_out: int, rounds: int) -> dict[str, Any]:
    """The rows of the table."""
    rows: dict[str, Any] = {}
    bench.deploy()
    bench.make_object("object", mebibytes_in)
    bench.make_object("little", 1)
    began, cold = bench.invoke("first", 0, "little")
    rows["first_byte_cold_ms"] = round((_read_times(cold)[0] - began) * 1000, 1)
    firsts = []
    for _ in range(_FIRST_BYTE_RUNS):
        began, execution = bench.invoke("first", 0, "object")
        firsts.append((_read_times(execution)[0] - began) * 1000)
    rows["first_byte_ms_p50"] = round(statistics.median(firsts), 1)
    rows["first_byte_ms_max"] = round(max(firsts), 1)
    seconds: dict[str, list[float]] = {"function": [], "download_file": [], "download_fileobj": []}
    for _ in range(rounds):
        with bench.memory_growth(rows, "in_executor_rss_growth_mib"):
            began, execution = bench.invoke("read", 0, "object")
        _, ended, count = _read_times(execution)
        assert count == mebibytes_in * MEBIBYTE, count
        seconds["function"].append(ended - began)
        path = str(bench.folder / "plain")
        seconds["download_file"].append(bench.download_plainly("object", path))
        seconds["download_fileobj"].append(bench.download_plainly("object", ""))
    for name, found in seconds.items():
        rows[f"in_{name}_mb_per_s"] = round(
            mebibytes_in * MEBIBYTE / statistics.median(found) / 1e6
        )
    for name in ("download_file", "download_fileobj"):
        ratio = statistics.median(seconds[name]) / statistics.median(seconds["function"])
        rows[f"in_of_{name}_ratio"] = round(ratio, 2)
    with bench.memory_growth(rows, "out_executor_rss_growth_mib"):
        began, execution = bench.invoke("write", mebibytes_out)
    rows["out_seconds"] = round(time.time() - began, 1)
    place = execution.answer.output_files[0]
    size = bench.s3.head_object(Bucket=place.bucket, Key=place.key)["ContentLength"]
    assert size == mebibytes_out * MEBIBYTE, size
    return rows


def _read_times(execution: Execution) -> tuple[float, float, int]:
    first, ended, count = json.loads(bytes(execution.answer.output))
    return first, ended, count


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sandbox", default="docker", choices=["docker", "bubblewrap"])
    parser.add_argument("--mebibytes-in", type=int, default=2_048)
    parser.add_argument("--mebibytes-out", type=int, default=1_024)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hearth-bench-") as name:
        folder = Path(name)
        environment = {
            **local_environment(folder / "state"),
            "SANDBOX": given.sandbox,
            "CODE_CHECK_SECONDS": "3600",
            "LOG_LEVEL": "WARNING",
        }
        with Stack(environment, log_path=folder / "stack.log") as stack:
            stack.start("local", "executor")
            stack.wait_local()
            bench = Bench(stack, folder)
            rows = measure(bench, given.mebibytes_in, given.mebibytes_out, given.rounds)
    result = {
        "machine": describe_machine(),
        "sandbox": given.sandbox,
        "mebibytes_in": given.mebibytes_in,
        "mebibytes_out": given.mebibytes_out,
        **rows,
    }
    print(json.dumps(result) if given.json else json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
