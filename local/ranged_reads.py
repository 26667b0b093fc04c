"""Lets the AWS stand-in read the range that is asked for, and not the whole object each time.

moto copies an object whole for every answer, whatever the range: a gigabyte that is downloaded in
parts of eight megabytes, as boto3 does it, is copied 128 times, which takes minutes and most of
the memory.
"""

import re
import threading
from typing import Any

from moto.s3.models import FakeKey
from moto.s3.responses import S3Response

_PLAIN_RANGE = re.compile(r"bytes=(\d+)-(\d*)")
_asked = threading.local()


class _Slices:
    """Stands for the bytes of an object, of which moto takes the length and one slice."""

    def __init__(self, stored: FakeKey) -> None:
        self._stored = stored

    def __len__(self) -> int:
        return int(self._stored.size)

    def __getitem__(self, wanted: slice) -> bytes:
        with self._stored.lock:
            self._stored._value_buffer.seek(wanted.start)  # noqa: SLF001 - it has no other way
            found: bytes = self._stored._value_buffer.read(wanted.stop - wanted.start)  # noqa: SLF001
        return found


def read_ranges_alone() -> None:
    """From now on, in this process."""
    stored_type: Any = FakeKey
    response_type: Any = S3Response
    read_whole, answer = stored_type.value.fget, response_type.get_object

    def read(stored: FakeKey) -> object:
        return _Slices(stored) if getattr(_asked, "range", False) else read_whole(stored)

    def get_object(response: S3Response) -> Any:  # noqa: ANN401 - as moto has it
        _asked.range = _is_plain(response.headers.get("range") or "")
        try:
            return answer(response)
        finally:
            _asked.range = False

    stored_type.value = stored_type.value.getter(read)
    response_type.get_object = get_object


def _is_plain(given: str) -> bool:
    """Whether it is a range that moto answers with one slice: others it answers whole."""
    found = _PLAIN_RANGE.fullmatch(given)
    return found is not None and (not found[2] or int(found[1]) <= int(found[2]))
