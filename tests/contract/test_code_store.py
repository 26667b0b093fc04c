"""The code store over a real S3 stand-in: what it keeps, when it looks, what it removes."""

import hashlib
import io
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from executor.code_store import CodeRejectedError, CodeStore, CodeUnavailableError
from shared.aws import make_client
from shared.events import Code
from shared.settings import Settings
from tests.requirements import need


def make_zip(**files: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(f"{name}.py", content)
    return packed.getvalue()


class CountingS3:
    """Passes calls on and counts them."""

    def __init__(self, s3: Any) -> None:
        self._s3 = s3
        self.looks = 0

    def get_object(self, **fields: Any) -> Any:
        """As boto3's."""
        self.looks += 1
        return self._s3.get_object(**fields)


class World:
    """A store, its clock and its bucket."""

    def __init__(self, s3: Any, bucket: str, settings: Settings) -> None:
        self.now_s = 0.0
        self._s3 = s3
        self.bucket = bucket
        self.s3 = CountingS3(s3)
        self.settings = settings
        self.store = self.make_store()

    def make_store(self, **changes: Any) -> CodeStore:
        settings = structs.replace(self.settings, **changes)
        return CodeStore(settings, self.s3, clock_s=lambda: self.now_s)

    def upload(self, key: str, archive: bytes) -> Code:
        self._s3.put_object(Bucket=self.bucket, Key=key, Body=archive)
        return Code(bucket=self.bucket, key=key)

    def folders(self) -> list[str]:
        root = Path(self.settings.state_dir) / "code"
        return sorted(one.name for one in root.iterdir() if one.is_dir())


@pytest.fixture
def world(s3: Any, bucket: str, aws_settings: Settings) -> World:
    """A store with an empty cache."""
    return World(s3, bucket, aws_settings)


def test_fetching(world: World) -> None:
    """The archive lies unpacked under its hash, and nothing else lies beside it."""
    archive = make_zip(main=b"print(1)")
    code = world.upload("f.zip", archive)

    stored = world.store.fetch(code)

    assert stored.sha256 == hashlib.sha256(archive).hexdigest()
    assert (stored.path / "main.py").read_bytes() == b"print(1)"
    assert world.folders() == [stored.sha256]


def test_a_warm_call_does_not_touch_s3(world: World) -> None:
    """Within `code_check_seconds` there is one look, however often it is asked."""
    code = world.upload("f.zip", make_zip(main=b"1"))
    first = world.store.fetch(code)
    world.now_s = 59.9

    assert world.store.fetch(code) == world.store.peek(code) == first
    assert world.s3.looks == 1


def test_peek_knows_only_what_is_fresh_and_in_use(world: World) -> None:
    """Unknown, released or old: whoever wants to run it must fetch."""
    code = world.upload("f.zip", make_zip(main=b"1"))
    assert world.store.peek(code) is None
    stored = world.store.fetch(code)
    assert world.store.peek(code) == stored
    world.now_s = 60
    assert world.store.peek(code) is None
    world.now_s = 0
    world.store.release(stored)
    assert world.store.peek(code) is None


def test_a_new_version_is_seen_after_a_while(world: World) -> None:
    """The object is looked at again, downloaded if it changed, and only then."""
    code = world.upload("f.zip", make_zip(main=b"old"))
    old = world.store.fetch(code)
    world.now_s = 60
    assert world.store.fetch(code) == old
    world.upload("f.zip", make_zip(main=b"new"))
    world.now_s = 119
    assert world.store.fetch(code) == old
    world.now_s = 120

    new = world.store.fetch(code)

    assert (new.path / "main.py").read_bytes() == b"new"
    assert (old.path / "main.py").read_bytes() == b"old"
    assert world.s3.looks == 3


def test_many_at_once_download_once(world: World) -> None:
    """A burst on a cold function is one download."""
    code = world.upload("f.zip", make_zip(main=b"1"))
    barrier = threading.Barrier(8)

    def fetch() -> str:
        barrier.wait()
        return world.store.fetch(code).sha256

    with ThreadPoolExecutor(8) as threads:
        hashes = {one.result() for one in [threads.submit(fetch) for _ in range(8)]}

    assert len(hashes) == 1
    assert world.s3.looks == 1


def test_the_asked_hash_must_match(world: World) -> None:
    """A wrong hash names both; the right one is served; a mended upload is seen at once."""
    archive, mended = make_zip(main=b"1"), make_zip(main=b"2")
    code = world.upload("f.zip", archive)
    right = structs.replace(code, sha256=hashlib.sha256(archive).hexdigest())
    wrong = structs.replace(code, sha256=hashlib.sha256(mended).hexdigest())

    stored = world.store.fetch(right)
    with pytest.raises(CodeRejectedError, match="mend codeSha256") as caught:
        world.store.fetch(wrong)
    assert caught.value.field == "codeSha256"
    assert world.store.peek(wrong) is None
    world.upload("f.zip", mended)
    assert world.store.fetch(wrong).sha256 == wrong.sha256
    assert stored.path.is_dir()


def test_a_missing_object_is_the_senders_to_mend(world: World) -> None:
    """The rejection names bucket and key, and an upload mends it at once."""
    code = Code(bucket=world.bucket, key="f.zip")
    with pytest.raises(CodeRejectedError, match=f"s3://{world.bucket}/f.zip does not") as caught:
        world.store.fetch(code)
    assert caught.value.field == "s3Key"
    world.upload("f.zip", make_zip(main=b"1"))

    assert world.store.fetch(code).path.is_dir()


@pytest.mark.parametrize("bucket", ["no-such-bucket", "not/a bucket"])
def test_a_missing_bucket_is_the_senders_to_mend(world: World, bucket: str) -> None:
    """The field that is wrong is named."""
    with pytest.raises(CodeRejectedError) as caught:
        world.store.fetch(Code(bucket=bucket, key="f.zip"))

    assert caught.value.field == "s3Bucket"


def test_a_bad_archive_is_refused_until_it_is_mended(world: World) -> None:
    """It is downloaded once, refused at every call, and a new upload is seen at once."""
    code = world.upload("f.zip", b"no zip at all")
    for _ in range(2):
        with pytest.raises(CodeRejectedError, match="no zip archive") as caught:
            world.store.fetch(code)
        assert caught.value.field == "s3Key"
    assert world.folders() == []
    world.upload("f.zip", make_zip(main=b"1"))

    assert world.store.fetch(code).path.is_dir()


def test_s3_away(world: World, aws_settings: Settings) -> None:
    """What was never seen is waited for; what runs here runs on."""
    code = world.upload("f.zip", make_zip(main=b"1"))
    stored = world.store.fetch(code)
    client = make_client(structs.replace(aws_settings, local_aws_port=9), "s3")
    world.s3._s3 = client
    world.now_s = 60

    assert world.store.fetch(code) == stored
    with pytest.raises(CodeUnavailableError):
        world.store.fetch(Code(bucket=world.bucket, key="other.zip"))
    client.close()


def noise(seed: int) -> bytes:
    return b"".join(hashlib.sha256(b"%d/%d" % (seed, n)).digest() for n in range(20_000))


def test_the_cache_is_bounded(world: World) -> None:
    """The least recently used goes; what is in use stays."""
    store = world.make_store(code_cache_mb=2)
    codes = [world.upload(f"{n}.zip", make_zip(main=noise(n))) for n in range(5)]
    used = store.fetch(codes[0])
    for code in codes[1:]:
        store.release(store.fetch(code))

    kept = world.folders()

    assert used.sha256 in kept
    assert len(kept) == 3
    assert store.fetch(codes[4]).sha256 in kept
    assert (store.fetch(codes[1]).path / "main.py").read_bytes() == noise(1)


def test_another_executor_does_not_evict_what_is_in_use(world: World) -> None:
    """Executors of one host share the folder; each respects what the others run."""
    first, second = world.make_store(code_cache_mb=1), world.make_store(code_cache_mb=1)
    codes = [world.upload(f"{n}.zip", make_zip(main=noise(n))) for n in range(3)]
    used = first.fetch(codes[0])

    for code in codes[1:]:
        second.release(second.fetch(code))
    assert used.path.is_dir()
    first.release(used)
    second.fetch(codes[1])
    second.fetch(codes[2])
    assert not used.path.is_dir()
    assert first.fetch(codes[0]).path.is_dir()


def test_a_new_process_finds_what_is_there(world: World) -> None:
    """After a restart the folder is used again."""
    code = world.upload("f.zip", make_zip(main=b"1"))
    stored = world.store.fetch(code)
    inode = stored.path.stat().st_ino

    assert world.make_store().fetch(code).path.stat().st_ino == inode


def test_a_full_disk_is_waited_for(world: World) -> None:
    """It is nobody's mistake, and nothing half-unpacked is left."""
    full = Path("/dev/full")
    need(full.exists(), "/dev/full is missing")
    code = world.upload("f.zip", make_zip(main=b"1"))
    store = world.make_store()
    temporary = store._cache.make_temporary()
    (temporary / "archive").symlink_to(full)
    store._cache.make_temporary = lambda: temporary  # type: ignore[method-assign]

    with pytest.raises(CodeUnavailableError, match="No space left"):
        store.fetch(code)
    assert world.folders() == []
