"""Files in and out, from the SQS message to the document, on each kind of sandbox."""

import hashlib
import os

from local.stack import Stack
from tests.e2e.client import Client

FUNCTION = """
import hashlib, os

def handler(event, context):
    digest = hashlib.sha256()
    with open(os.environ["INPUT_FILE"], "rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    os.mkdir(os.environ["OUTPUT_DIR"] + "/parts")
    with open(os.environ["OUTPUT_DIR"] + "/parts/digest.txt", "w") as file:
        file.write(event["prefix"] + digest.hexdigest())
    print("x" * 20_000)
"""


def test_files_in_and_out(running: tuple[Stack, Client]) -> None:
    """The document names what was made of the object; without it, it says what to mend."""
    _, client = running
    client.deploy("stream", {"main.py": FUNCTION})
    body = os.urandom(20 << 20)
    client.s3.put_object(Bucket=client.code_bucket, Key="large.bin", Body=body)

    place = {"bucket": client.code_bucket, "key": "large.bin"}
    given = {"input": {"prefix": "sha256:"}, "memoryMb": 512}
    document = client.invoke("stream-1", "stream", inputS3=place, **given)
    nothing = {"bucket": client.code_bucket, "key": "nothing.bin"}
    refused = client.invoke("stream-2", "stream", inputS3=nothing, **given)

    assert document["status"] == "SUCCESS", document
    (file,) = document["outputFiles"]
    assert file["key"] == "outputs/stream-1/parts/digest.txt"
    stored = client.s3.get_object(Bucket=file["bucket"], Key=file["key"])["Body"].read()
    assert stored.decode() == "sha256:" + hashlib.sha256(body).hexdigest()
    log = client.s3.get_object(Bucket=document["logsS3"]["bucket"], Key=document["logsS3"]["key"])
    assert log["Body"].read() == b"x" * 20_000 + b"\n"
    assert refused["status"] == "REJECTED"
    assert refused["error"]["message"].startswith("inputS3: s3://hearth-code/nothing.bin does not")
