"""The fields of a message, read one by one with words for the sender. Pure.

Not here: which fields there are and what they become (`message`).
"""

import re
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Raw

from shared.codec import UNREADABLE

ID_CHARACTERS = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
ID_RULE = "a string of 1 to 128 letters, digits and . _ : - that begins with a letter or a digit"

_SHOWN_CHARACTERS_MAX = 60
_decoder = msgspec.json.Decoder()


class RefusedError(Exception):
    """A field is not what it must be; the message tells the sender what to mend."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field = field
        self.reason = reason


class Fields:
    """The top level of a message: name -> JSON. A field that is null counts as absent."""

    def __init__(self, raws: Mapping[str, Raw]) -> None:
        self._raws = raws

    def raw(self, name: str) -> bytes | None:
        """The JSON of a field as it was sent, or None."""
        raw = self._raws.get(name)
        if raw is None or bytes(raw) == b"null":
            return None
        return bytes(raw)

    def value(self, name: str) -> Any:  # noqa: ANN401 - any JSON
        """The value of a field, or None."""
        raw = self.raw(name)
        if raw is None:
            return None
        try:
            return _decoder.decode(raw)
        except UNREADABLE as error:
            raise RefusedError(name, f"{name} cannot be read: {error}") from error

    def refuse(self, name: str, rule: str) -> RefusedError:
        """The error that shows what was sent and says what it must be."""
        raw = self.raw(name)
        if raw is None:
            return RefusedError(name, f"{name} is missing; it must be {rule}")
        return RefusedError(name, f"{name} is {show(raw)}; it must be {rule}")

    def text(self, name: str, pattern: re.Pattern[str], rule: str) -> str | None:
        """A string that matches `pattern` as a whole, or None where the field is absent."""
        value = self.value(name)
        if value is None:
            return None
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise self.refuse(name, rule)
        return value

    def needed_text(self, name: str, pattern: re.Pattern[str], rule: str) -> str:
        """A string that matches `pattern` as a whole; it must be there."""
        value = self.text(name, pattern, rule)
        if value is None:
            raise self.refuse(name, rule)
        return value

    def usable_id(self, name: str) -> str | None:
        """The identifier in a field if it is one; for rejections, so it never raises."""
        try:
            return self.text(name, ID_CHARACTERS, ID_RULE)
        except RefusedError:
            return None


def show(raw: bytes) -> str:
    """A short form of JSON for a reason."""
    text = raw[: 4 * _SHOWN_CHARACTERS_MAX].decode(errors="replace")
    if len(text) <= _SHOWN_CHARACTERS_MAX:
        return text
    return text[:_SHOWN_CHARACTERS_MAX] + "..."


def is_deeper_than(levels: int, body: bytes) -> bool:
    """Whether JSON is nested deeper than `levels`; bounded work at any depth.

    Brackets inside strings count too, which only a hostile or curious message notices: the exact
    answer is asked for only where there are more opening brackets than levels.
    """
    if body.count(b"[") + body.count(b"{") <= levels:
        return False
    brackets = _STRINGS.sub(b"", body).translate(_ONE_KIND, _NO_BRACKETS)
    for _ in range(levels):
        if not brackets:
            return False
        brackets = brackets.replace(b"[]", b"")  # one pass takes the innermost level away
    return bool(brackets)


_STRINGS = re.compile(rb'"(?:[^"\\]|\\.)*+"')
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_ONE_KIND = bytes.maketrans(b"{}", b"[]")
