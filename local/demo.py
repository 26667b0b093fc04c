"""`make demo`: the main job, shown on real parts in under a minute.

Starts the stack on the embedded default, deploys the examples, sends SQS messages, prints each
result with its profile and advice, and stops what it started. Not here: anything that a user's own
client would not do, too.
"""

import io
import json
import sys
import tempfile
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from executor.choose_sandbox import choose_factory
from executor.sandbox import SandboxError
from local.stack import PROCESSES, Stack, local_environment
from shared.aws import make_client
from shared.settings import Settings

EXAMPLES = Path(__file__).parent.parent / "examples" / "python"


@dataclass(frozen=True)
class Show:
    """One function of the demo and how it is called."""

    function_id: str
    memory_mb: int
    event: dict[str, Any]
    calls: int
    about: str


SHOWS = (
    Show("hello", 512, {"name": "world"}, 3, "a light function"),
    Show("primes", 512, {"limit": 2_000_000}, 2, "a CPU-heavy function"),
    Show("mosaic", 256, {"megabytes": 200}, 2, "a memory-heavy function"),
    Show("broken", 128, {"price": 3}, 1, "a failing function"),
)


def pack(folder: Path) -> bytes:
    """A function's folder as the archive that lies in S3."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts:
                archive.write(file, file.relative_to(folder))
    return buffer.getvalue()


def wait_for_document(
    s3: Any,  # noqa: ANN401 - boto3 makes its clients at run time
    bucket: str,
    request_id: str,
    seconds: float = 60,
) -> tuple[str, dict[str, Any]]:
    """The result document and where it lies in S3."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        listed = s3.list_objects_v2(Bucket=bucket, Prefix="results/").get("Contents", [])
        for item in listed:
            if item["Key"].endswith(f"/{request_id}.json"):
                body = s3.get_object(Bucket=bucket, Key=item["Key"])["Body"].read()
                return item["Key"], json.loads(body)
        time.sleep(0.05)
    raise TimeoutError(f"no result for {request_id} after {seconds} s")


def show_result(document: dict[str, Any], place: str) -> None:
    """One result, as a person reads it."""
    good = document["status"] == "SUCCESS"
    head = f"  {document['requestId']:<10} {document['status']:<8} {document['start']:<5}"
    click.secho(f"{head} {document['durationMs']:>9.1f} ms", fg="green" if good else "red")
    if document["error"]:
        click.echo(f"      error    {document['error']['type']}: {document['error']['message']}")
    else:
        click.echo(f"      output   {json.dumps(document['output'])}")
    used = document["resources"]
    cpu_ms = (used["cpuUserMicros"] + used["cpuSystemMicros"]) / 1000
    click.echo(
        f"      profile  peak {used['memoryUsedMb']} of {used['memoryLimitMb']} MB "
        f"({used['memoryAccuracy']}), CPU {cpu_ms:.1f} ms = {used['cpuUsagePercent']:.0f} % of a "
        f"core, throttled {used['throttledMicros'] / 1000:.0f} ms"
    )
    if document["autoTuner"]:
        advice = document["autoTuner"]
        click.echo(f"      advice   {advice['tip']} (confidence {advice['confidence']})")
    click.echo(f"      in S3    {place}")


def run_shows(settings: Settings) -> None:
    """Deploy, send, wait, print."""
    s3, sqs = make_client(settings, "s3"), make_client(settings, "sqs")
    for show in SHOWS:
        key = f"functions/{show.function_id}.zip"
        s3.put_object(Bucket=settings.code_bucket, Key=key, Body=pack(EXAMPLES / show.function_id))
        click.secho(f"\n{show.function_id}: {show.about}, {show.memory_mb} MB", bold=True)
        for number in range(1, show.calls + 1):
            request_id = f"{show.function_id}-{number}"
            message = {
                "requestId": request_id,
                "functionId": show.function_id,
                "runtime": "python",
                "s3Key": key,
                "memoryMb": show.memory_mb,
                "timeoutMs": 60_000,
                "input": show.event,
            }
            sqs.send_message(QueueUrl=settings.queue_url, MessageBody=json.dumps(message))
            place, document = wait_for_document(s3, settings.output_bucket, request_id)
            show_result(document, f"s3://{settings.output_bucket}/{place}")


def main() -> int:
    """The demo; 0 when every result came."""
    with tempfile.TemporaryDirectory(prefix="hearth-") as folder:
        stack = Stack(local_environment(Path(folder)), log_path=Path(folder) / "stack.log")
        try:
            factory, why = choose_factory(stack.settings)
        except SandboxError as error:
            click.secho(f"The demo cannot run here: {error}", fg="red", err=True)
            return 1
        factory.close()
        click.secho(f"Sandbox: {factory.kind}. {why}", bold=True)
        click.echo("Starting redis-server, the AWS stand-in and the five stages ...")
        try:
            with stack:
                stack.start("local")
                stack.wait_local()
                stack.start(*[name for name in PROCESSES if name != "local"])
                stack.wait_healthy()
                run_shows(stack.settings)
                address = f"http://127.0.0.1:{stack.settings.metrics_port}"
                click.echo(f"\nWhile it runs, {address}/metrics tells the figures and /healthz")
                click.echo("how it is. With `honcho start` there is a console besides, at")
                click.echo("http://127.0.0.1:8001/. Now stopping; nothing is left behind.")
        except TimeoutError as error:
            click.secho(f"The demo did not come to its end: {error}", fg="red", err=True)
            if stack.log_path is not None and stack.log_path.exists():
                click.echo(stack.log_path.read_text()[-4_000:], err=True)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
