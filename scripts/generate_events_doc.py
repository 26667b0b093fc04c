"""Writes docs/events.md and docs/events.schema.json from the event types; `--check` compares.

Not here: what the events mean beyond the docstrings and comments in `shared/events.py`.
"""

import argparse
import re
import sys
from enum import StrEnum
from pathlib import Path
from typing import Any, get_args

import msgspec

from shared import events
from shared.topology import STREAMS, stream_of

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "events.md"
SCHEMA = ROOT / "docs" / "events.schema.json"

_INTRODUCTION = """# Events

Generated from `shared/events.py` by `scripts/generate_events_doc.py`: change that, not this.

Every event is a JSON object in the field `event` of a stream entry, at most 256 KiB. `type` names
its type. A field that equals its default is left out. A new field has a default; a changed meaning
is a new type. The JSON Schema of all of them is `events.schema.json`.

| stream | written by | events | handled by |
|---|---|---|---|
"""


def read_comments() -> dict[tuple[str, str], str]:
    """The trailing comment of each field, by class and field: msgspec does not keep them."""
    comments: dict[tuple[str, str], str] = {}
    owner = ""
    for line in (ROOT / "shared" / "events.py").read_text().splitlines():
        if found := re.match(r"class (\w+)", line):
            owner = found[1]
        elif found := re.match(r"    (\w+): .*?  # (.*)", line):
            comments[owner, found[1]] = found[2]
    return comments


def describe(kind: type[msgspec.Struct], comments: dict[tuple[str, str], str]) -> str:
    """A section: the docstring and a table of fields."""
    rows = []
    for field in msgspec.structs.fields(kind):
        lines = [base for base in kind.__mro__ if (base.__name__, field.name) in comments]
        note = comments[lines[0].__name__, field.name] if lines else ""
        annotation = field.type if isinstance(field.type, str) else spell(field.type)
        need = "yes" if field.required else ""
        rows.append(
            f"| `{field.name}` | {annotation} | {need} | {note.replace('|', chr(92) + '|')} |"
        )
    table = "\n".join(rows)
    text = (kind.__doc__ or "").strip()
    return f"{text}\n\n| field | type | required | note |\n|---|---|---|---|\n{table}\n"


def spell(annotation: Any) -> str:  # noqa: ANN401 - any annotation
    """A type as the page shows it."""
    arguments = [argument for argument in get_args(annotation) if argument is not Ellipsis]
    if not arguments:
        return (
            "null" if annotation is type(None) else str(getattr(annotation, "__name__", annotation))
        )
    spelled = [spell(argument) for argument in arguments]
    origin = getattr(annotation, "__origin__", None)
    if origin is tuple:
        return f"list of {spelled[0]}"
    if origin is dict:
        return f"object of {spelled[1]}"
    return " or ".join(spelled)


def build_page() -> str:
    """The whole page."""
    comments = read_comments()
    streams = "".join(
        f"| `{one.name}` | {one.writer} | {', '.join(one.events)} | {one.group or 'people'} |\n"
        for one in STREAMS
    )
    types = [
        f"## {kind.__name__}\n\nStream `{stream_of(kind.__name__).name}`. "
        + describe(kind, comments)
        for kind in get_args(events.Anything)
    ]
    parts = [
        f"## Part: {kind.__name__}\n\n{describe(kind, comments)}"
        for kind in vars(events).values()
        if isinstance(kind, type) and issubclass(kind, events.Value) and kind is not events.Value
    ]
    enums = [
        f"## Values: {kind.__name__}\n\n{(kind.__doc__ or '').strip()} "
        + ", ".join(f"`{member.value}`" for member in kind)
        + "\n"
        for kind in vars(events).values()
        if isinstance(kind, type) and issubclass(kind, StrEnum) and kind is not StrEnum
    ]
    return _INTRODUCTION + streams + "\n" + "\n".join([*types, *parts, *enums])


def build_schema() -> str:
    """The JSON Schema of any event."""
    schema = msgspec.json.schema(events.Anything)
    return msgspec.json.format(msgspec.json.encode(schema, order="deterministic")).decode() + "\n"


def main() -> int:
    """Write, or compare and say what is stale."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    stale = []
    for path, text in ((PAGE, build_page()), (SCHEMA, build_schema())):
        if not check:
            path.write_text(text)
        elif not path.exists() or path.read_text() != text:
            stale.append(path.name)
    if stale:
        print(f"stale: {', '.join(stale)}. Run .venv/bin/python scripts/generate_events_doc.py")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
