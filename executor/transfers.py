"""What flows between S3 and invocations, on background threads: inputs, outputs, files, logs.

Not here: how each of them is moved (`input_stream`, `output_files`), when (`loop`, `ledger`).
"""

import dataclasses
import os
from collections.abc import Callable
from typing import Any

from msgspec import json

from executor.background import Background
from executor.input_source import InputRejectedError, InputSource
from executor.input_stream import PART_BYTES, InputStream
from executor.invocation import Ending, Refused
from executor.log_spool import LogFile
from executor.output_files import (
    OutputFilesError,
    OutputUploader,
    Selection,
    fits_event,
    select_files,
)
from executor.output_folder import OutputFolder
from executor.patience import Lane, Patience
from shared import metrics
from shared.events import Failure, Outcome, S3Object
from shared.settings import Settings

TOO_LARGE = "Function.OutputFilesTooLarge"


class Transfers:
    """Moves things for the loop; each `done` is called in the loop."""

    def __init__(
        self,
        settings: Settings,
        s3: Any,  # noqa: ANN401 - boto3 makes its clients at run time
        background: Background,
    ) -> None:
        self._s3 = s3
        self._bucket = settings.output_bucket
        self._window_bytes = settings.input_window_mb << 20
        self._files_bytes_max = settings.output_dir_mb << 20
        self._source = InputSource(s3)
        self._uploader = OutputUploader(s3, self._bucket)
        self._background = background
        self._patience = Patience(background)
        self._unbegun: set[InputStream] = set()

    # -- in ----------------------------------------------------------------------------------------

    def open_input(self, place: S3Object, done: Callable[[InputStream | Refused], None]) -> None:
        """The stream of an object, or why the sender must name another."""

        def work() -> InputStream | Refused:
            try:
                opened = self._patience.persist("s3", lambda: self._source.open(place, PART_BYTES))
            except InputRejectedError as error:
                return Refused("inputS3", str(error))
            return InputStream(self._source, opened, self._window_bytes)

        def opened(got: InputStream | Refused) -> None:
            if isinstance(got, InputStream):
                if self._background.stopping.is_set():
                    got.stop()
                    return
                self._unbegun.add(got)
            done(got)

        self._patience.submit(work, opened)

    def feed(self, stream: InputStream, failed: Callable[[Failure], None]) -> None:
        """Hand a stream that has begun to its sandbox, until `stop`."""
        self._unbegun.discard(stream)
        self._background.run_apart(
            stream.feed, lambda failure: None if failure is None else failed(failure)
        )

    def stop(self, stream: InputStream) -> None:
        """End a stream; its sandbox has what it wanted, or is dead."""
        self._unbegun.discard(stream)
        stream.stop()

    def close(self) -> None:
        """End the streams that no sandbox reads; the others end with theirs."""
        while self._unbegun:
            self._unbegun.pop().stop()

    # -- out ---------------------------------------------------------------------------------------

    def upload_output(
        self, request_id: str, ending: Ending, done: Callable[[Ending], None]
    ) -> None:
        """Move an output too large for an event to S3."""
        place = self._place(f"outputs/{request_id}.json")

        def work() -> Ending:
            self._patience.persist(
                "s3", lambda: self._put(place, ending.output, "application/json")
            )
            metrics.UPLOADS.labels("output").inc()
            return dataclasses.replace(ending, output=b"null", output_s3=place)

        self._patience.submit(work, done)

    def upload_log(self, request_id: str, ending: Ending, done: Callable[[Ending], None]) -> None:
        """Move a long log to S3; its beginning stays in the ending."""
        place, file = self._place(f"logs/{request_id}.log"), ending.log_file
        assert file is not None, "no log to upload"

        def work() -> Ending:
            try:
                self._patience.persist("s3", lambda: self._put_log(place, file))
                metrics.UPLOADS.labels("log").inc()
            finally:
                file.close()
            return dataclasses.replace(ending, log_file=None, logs_s3=place)

        self._patience.submit(work, done)

    def upload_files(
        self, request_id: str, folder: OutputFolder, ending: Ending, done: Callable[[Ending], None]
    ) -> None:
        """Move what lies in OUTPUT_DIR to S3; too much of it, and the invocation failed."""

        def work() -> Ending:
            prefix = f"outputs/{request_id}/"
            try:
                selection = select_files(folder, self._files_bytes_max, prefix)
            except OutputFilesError as error:
                return fail_too_large(ending, str(error))
            places = self._patience.persist(
                "s3", lambda: self._uploader.upload(folder, selection.files, prefix)
            )
            metrics.UPLOADS.labels("file").inc(len(places))
            selection = selection.without_missing(places, prefix)
            return self._name_files(request_id, ending, selection, places)

        self._patience.submit(work, done, lane=Lane.APART)

    def empty(self, folder: OutputFolder, done: Callable[[bool], None]) -> None:
        """Empty OUTPUT_DIR for the next call; `done` hears whether that was possible."""
        self._background.submit(folder.empty, done)

    def _name_files(
        self, request_id: str, ending: Ending, selection: Selection, places: list[S3Object]
    ) -> Ending:
        ending = dataclasses.replace(ending, logs=ending.logs + selection.describe_left_out())
        if fits_event(places):
            return dataclasses.replace(ending, output_files=tuple(places))
        listing = self._place(f"outputs/{request_id}.files.json")
        body = json.encode(places)
        self._patience.persist("s3", lambda: self._put(listing, body, "application/json"))
        metrics.UPLOADS.labels("listing").inc()
        return dataclasses.replace(ending, output_files_s3=listing)

    def _put_log(self, place: S3Object, file: LogFile) -> None:
        os.lseek(file.descriptor, 0, os.SEEK_SET)
        with os.fdopen(os.dup(file.descriptor), "rb") as body:
            self._put(place, body, "text/plain; charset=utf-8")

    def _put(self, place: S3Object, body: object, content_type: str) -> None:
        self._s3.put_object(Bucket=place.bucket, Key=place.key, Body=body, ContentType=content_type)

    def _place(self, key: str) -> S3Object:
        return S3Object(bucket=self._bucket, key=key)


def fail_too_large(ending: Ending, message: str) -> Ending:
    """The ending of a function that overfilled its OUTPUT_DIR."""
    return dataclasses.replace(
        ending,
        outcome=Outcome.FAILED,
        output=b"null",
        failure=Failure(type=TOO_LARGE, message=message),
    )
