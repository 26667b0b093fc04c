"""`hearth deploy FOLDER|ZIP`: a function's files to S3, and the message that calls it.

Not here: packing (`package`), what is found in the files (`entry_point`), the bucket (`deployed`).
"""

import shlex
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any

import click

from cli.command import Command, as_json_option
from cli.deployed import Deployment, Deployments, archive_key, find_sha256, make_message
from cli.entry_point import EntryPoint, EntryPointError, find_entry_point
from cli.package import PackageError, pack
from cli.screen import print_json
from executor.archive import ARCHIVE_BYTES_MAX, ArchiveError, unpack
from ingest.fields import ID_CHARACTERS, ID_RULE
from ingest.request import MEMORY_MB_DEFAULT, TIMEOUT_MS_DEFAULT, TIMEOUT_MS_MAX
from shared.aws import make_client
from shared.events import Runtime
from shared.settings import Settings

_LOOKED_AT_BYTES_MAX = 1 << 20  # a handler is in a source file, and those are small
_HANDLERS = {
    Runtime.PYTHON: "main.handler",
    Runtime.NODEJS: "index.handler",
    Runtime.GO: "bootstrap",
    Runtime.PROVIDED: "bootstrap",
}


class Memory(click.ParamType[int | str]):
    """Megabytes, or `auto`."""

    name = "MB"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | str:
        """See `click.ParamType`."""
        if value == "auto":
            return "auto"
        size: int = click.IntRange(128, 10_240).convert(value, param, ctx)
        return size


@click.command(
    cls=Command,
    short_help="Pack a folder, upload it, say how to call it.",
    examples=(
        ("hearth deploy hello", "the folder hello, as the function hello"),
        ("hearth deploy . --name thumb --memory 512", "the folder you are in, as thumb"),
        ("hearth deploy build/function.zip --handler app.handler", "an archive made elsewhere"),
        ("hearth deploy hello --json | jq .message", "the message for a program to send"),
    ),
)
@click.argument("path", type=click.Path(exists=True, path_type=Path), metavar="FOLDER|ZIP")
@click.option("--name", help="The function's name; the folder's or the archive's if not given.")
@click.option("--runtime", type=click.Choice([one.value for one in Runtime]),
              help="Found in the files if not given.")  # fmt: skip
@click.option("--handler", help="FILE.FUNCTION; found in the files if not given.")
@click.option("--memory", "memory_mb", type=Memory(), default=MEMORY_MB_DEFAULT, show_default=True,
              help="MB that `hearth invoke` asks for; `auto`: what the tuner advises.")  # fmt: skip
@click.option("--timeout", "timeout_s", type=click.FloatRange(0.001, TIMEOUT_MS_MAX / 1_000),
              default=TIMEOUT_MS_DEFAULT / 1_000, show_default=True, metavar="SECONDS",
              help="How long a call may run.")  # fmt: skip
@as_json_option
@click.pass_obj
def deploy(settings: Settings, /, path: Path, **options: Any) -> None:
    """Pack a folder, upload it to S3_CODE_BUCKET, and print the message that calls it.

    The archive's name holds its hash: the same files give the same archive, and an old one stays.
    Left out are version control, caches, virtual environments, .env files and what the folder's
    .hearthignore names (patterns, one a line). A zip archive is uploaded as it is.

    The runtime and the handler are found in the files at the root: `handler` or `lambda_handler`
    in a Python file, `exports.handler` in a JavaScript file, go.mod, or an executable bootstrap.
    """
    name = options["name"] or find_name(path)
    if not ID_CHARACTERS.fullmatch(name):
        raise click.BadParameter(
            f"{name!r} cannot be a function's name; it must be {ID_RULE}. Give another.",
            param_hint="--name",
        )
    archive, entry_point = open_function(path, options["runtime"], options["handler"])
    sha256 = find_sha256(archive)
    deployments = Deployments(make_client(settings, "s3"), settings.code_bucket)
    deployment = Deployment(
        function_id=name,
        runtime=entry_point.runtime,
        handler=entry_point.handler,
        s3_bucket=deployments.bucket,
        s3_key=archive_key(name, sha256),
        code_sha256=sha256,
        memory_mb=options["memory_mb"],
        timeout_ms=round(options["timeout_s"] * 1_000),
        deployed_at_ms=time.time_ns() // 1_000_000,
    )
    is_new = deployments.upload(deployment.s3_key, archive)
    deployments.write(deployment)
    if options["as_json"]:
        message = make_message(deployment, input=None)
        print_json({"message": message, "bytes": len(archive), "uploaded": is_new})
    else:
        tell(deployment, len(archive), is_new=is_new)


def find_name(path: Path) -> str:
    """The name of the folder, or of the archive without its ending."""
    absolute = path.resolve()
    return absolute.stem if absolute.is_file() else absolute.name


def open_function(path: Path, runtime: str | None, handler: str | None) -> tuple[bytes, EntryPoint]:
    """The archive, and what runs in it. Raises click.UsageError with what to mend."""
    try:
        archive = pack(path) if path.is_dir() else path.read_bytes()
        _check_size(archive)
        files, executables = read_root(archive)
        if runtime and handler:
            return archive, EntryPoint(Runtime(runtime), handler)
        return archive, complete(files, executables, runtime, handler)
    except PackageError as error:
        raise click.UsageError(f"{error}.") from error
    except ArchiveError as error:
        raise click.UsageError(f"{path} {error}.") from error
    except EntryPointError as error:
        raise click.UsageError(f"In {path}: {error}.") from error


def _check_size(archive: bytes) -> None:
    if len(archive) > ARCHIVE_BYTES_MAX:
        raise PackageError(
            f"the archive has {len(archive) >> 20} MiB and at most {ARCHIVE_BYTES_MAX >> 20} "
            "are taken: leave files out with .hearthignore"
        )


def complete(
    files: dict[str, bytes], executables: frozenset[str], runtime: str | None, handler: str | None
) -> EntryPoint:
    """What the options leave open is found in the files."""
    if handler:
        found = EntryPoint(_find_runtime(files, handler), handler)
    elif runtime:
        seen = {name: text for name, text in files.items() if _speaks(name, Runtime(runtime))}
        try:
            found = find_entry_point(seen, executables & seen.keys())
        except EntryPointError:
            found = EntryPoint(Runtime(runtime), _HANDLERS[Runtime(runtime)])
        found = found._replace(runtime=Runtime(runtime))
    else:
        found = find_entry_point(files, executables)
    return found


def _find_runtime(files: dict[str, bytes], handler: str) -> Runtime:
    module = handler.rpartition(".")[0].partition("/")[0]
    for name in files:
        stem, _, ending = name.rpartition(".")
        if stem == module and ending in ("py", "js", "mjs", "cjs"):
            return Runtime.PYTHON if ending == "py" else Runtime.NODEJS
    raise EntryPointError(f"no file at the root belongs to {handler}. Say --runtime too")


def _speaks(name: str, runtime: Runtime) -> bool:
    endings = {
        Runtime.PYTHON: (".py",),
        Runtime.NODEJS: (".js", ".mjs", ".cjs"),
        Runtime.GO: (".go", ".mod", "bootstrap"),
        Runtime.PROVIDED: ("bootstrap",),
    }
    return name.endswith(endings[runtime])


def read_root(archive: bytes) -> tuple[dict[str, bytes], frozenset[str]]:
    """The files at an archive's root, unpacked as the executor will unpack them.

    Raises ArchiveError where it would refuse them.
    """
    with tempfile.TemporaryDirectory(prefix="hearth-") as place:
        path, folder = Path(place, "archive.zip"), Path(place, "unpacked")
        path.write_bytes(archive)
        folder.mkdir()
        try:
            unpack(path, folder)
        except zipfile.BadZipFile as error:
            raise ArchiveError(f"is no zip archive: {error}") from error
        files = [one for one in sorted(folder.iterdir()) if one.is_file()]
        contents = {one.name: one.read_bytes()[:_LOOKED_AT_BYTES_MAX] for one in files}
        executables = frozenset(one.name for one in files if one.stat().st_mode & 0o111)
    return contents, executables


def tell(deployment: Deployment, archive_bytes: int, *, is_new: bool) -> None:
    """For people: what was deployed, the message, the next command."""
    name = click.style(deployment.function_id, bold=True)
    size = f"{archive_bytes / 1024:,.1f} kB"
    news = "" if is_new else "; it was there already"
    click.echo(f"Deployed {name}: {deployment.runtime} {deployment.handler}, {size}{news}")
    click.echo(f"s3://{deployment.s3_bucket}/{deployment.s3_key}")
    click.echo("\nThe message that calls it, for any SQS client:\n")
    print_json(make_message(deployment, input=None))
    click.echo("\nNext:\n")
    click.echo(f"  hearth invoke {shlex.quote(deployment.function_id)} --input '{{}}'")
