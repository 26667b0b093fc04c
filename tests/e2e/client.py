"""A plain client as a user would write it: boto3 and redis, nothing of the project.

Knows the stack only by what its user knows: addresses, queue, buckets.
"""

import io
import json
import time
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import redis


@dataclass
class Client:
    """Sends messages, hears results on pub/sub, reads documents from S3."""

    redis_port: int
    aws_endpoint: str
    queue_url: str
    code_bucket: str = "hearth-code"
    output_bucket: str = "hearth-output"
    published: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        place = {
            "endpoint_url": self.aws_endpoint,
            "region_name": "us-east-1",
            "aws_access_key_id": "local",
            "aws_secret_access_key": "local",
        }
        self.sqs = boto3.client("sqs", **place)
        self.s3 = boto3.client("s3", **place)
        self.listen()

    def listen(self) -> None:
        """Subscribe; again after a Redis was restarted."""
        connection: Any = redis.Redis(port=self.redis_port, decode_responses=True)
        self.redis = connection
        self.pubsub: Any = self.redis.pubsub()
        self.pubsub.psubscribe("result:*")

    def close(self) -> None:
        """Leave Redis."""
        self.pubsub.close()
        self.redis.close()

    def deploy(self, name: str, files: Mapping[str, str]) -> str:
        """Upload an archive; returns its key."""
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for path, text in files.items():
                archive.writestr(path, text)
        key = f"functions/{name}.zip"
        self.s3.put_object(Bucket=self.code_bucket, Key=key, Body=buffer.getvalue())
        return key

    def deploy_folder(self, name: str, folder: Path) -> str:
        """Upload a folder as `zip -r` packs it, with the modes of its files."""
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for path in sorted(folder.rglob("*")):
                archive.write(path, path.relative_to(folder))
        key = f"functions/{name}.zip"
        self.s3.put_object(Bucket=self.code_bucket, Key=key, Body=buffer.getvalue())
        return key

    def send(self, request_id: str, function_id: str, **fields: Any) -> None:
        """One message, with the fields of the README."""
        message = {
            "requestId": request_id,
            "functionId": function_id,
            "runtime": "python",
            "s3Key": f"functions/{function_id}.zip",
            "timeoutMs": 20_000,
            **fields,
        }
        self.send_body(json.dumps(message))

    def send_body(self, body: str) -> None:
        """Any message."""
        self.sqs.send_message(QueueUrl=self.queue_url, MessageBody=body)

    def wait(self, request_ids: Iterable[str], seconds: float = 60) -> list[dict[str, Any]]:
        """The published documents, in the order asked for."""
        wanted = list(request_ids)
        deadline = time.monotonic() + seconds
        while not set(wanted) <= set(self.published):
            self.pump(0.2)
            if time.monotonic() > deadline:
                missing = sorted(set(wanted) - set(self.published))
                raise AssertionError(f"no result after {seconds} s for {missing}")
        return [self.published[one][0] for one in wanted]

    def wait_kept(self, request_ids: Iterable[str], seconds: float = 60) -> list[dict[str, Any]]:
        """The documents as kept in Redis: pub/sub forgets what nobody hears."""
        deadline = time.monotonic() + seconds
        wanted = list(request_ids)
        while True:
            try:
                kept = self.redis.mget([f"job:{one}" for one in wanted])
            except redis.RedisError:
                kept = [None]
            if all(kept):
                return [json.loads(one) for one in kept]
            if time.monotonic() > deadline:
                missing = [one for one, found in zip(wanted, kept, strict=False) if not found]
                raise AssertionError(f"no result after {seconds} s for {missing}")
            time.sleep(0.1)

    def pump(self, seconds: float) -> None:
        """Take what was published."""
        message = self.pubsub.get_message(ignore_subscribe_messages=True, timeout=seconds)
        if message is not None:
            document = json.loads(message["data"])
            self.published.setdefault(document["requestId"], []).append(document)

    def invoke(self, request_id: str, function_id: str, **fields: Any) -> dict[str, Any]:
        """Send one message and wait for its result."""
        self.send(request_id, function_id, **fields)
        return self.wait([request_id])[0]

    def stored(self, request_id: str, seconds: float = 10) -> dict[str, Any]:
        """The document in S3."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if keys := self.stored_keys(request_id):
                body = self.s3.get_object(Bucket=self.output_bucket, Key=keys[0])["Body"].read()
                return dict(json.loads(body))
            time.sleep(0.05)
        raise AssertionError(f"no document of {request_id} in S3 after {seconds} s")

    def stored_keys(self, request_id: str) -> list[str]:
        """Every document of a request in S3."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(
            Bucket=self.output_bucket, Prefix="results/"
        )
        return [
            item["Key"]
            for page in pages
            for item in page.get("Contents", [])
            if item["Key"].endswith(f"/{request_id}.json")
        ]

    def queue_size(self) -> int:
        """Messages in the queue, seen and unseen."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.sqs.get_queue_attributes(QueueUrl=self.queue_url, AttributeNames=names)
        return sum(int(found["Attributes"][name]) for name in names)

    def pending(self) -> dict[str, int]:
        """Pending entries of each stream that has any."""
        counts = {}
        for key in self.redis.scan_iter("{hearth:*}:*", _type="stream"):
            total = sum(
                group["pending"] + (group["lag"] or 0) for group in self.redis.xinfo_groups(key)
            )
            if total:
                counts[key] = total
        return counts

    def wait_settled(self, seconds: float = 30) -> None:
        """Until the queue and every pending list are empty."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            left = (self.queue_size(), self.pending())
            if left == (0, {}):
                return
            time.sleep(0.1)
        raise AssertionError(f"not settled after {seconds} s: queue, pending = {left}")
