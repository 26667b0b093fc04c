"""Figures in words: the one place that decides digits and units of the console's pages. Pure."""

import json
from datetime import UTC, datetime

from markupsafe import Markup, escape

_MIB = 1 << 20
NOTHING = "\N{EN DASH}"
_MINUS = "\N{MINUS SIGN}"


def describe_us(us: float | None) -> str:
    """Such as `320 µs`, `4.21 ms`, `45.2 ms`, `1.24 s`, `3 min 20 s`."""
    if us is None:
        return NOTHING
    if us < 1_000:
        return f"{us:.0f} µs"
    if us < 1_000_000:
        return f"{_round(us / 1_000)} ms"
    if us < 60_000_000:
        return f"{_round(us / 1_000_000)} s"
    return f"{us // 60_000_000:.0f} min {us % 60_000_000 / 1_000_000:.0f} s"


def describe_bytes(amount: int | None) -> str:
    """Such as `20.1 MB`, of 1,048,576 bytes as everywhere in Hearth."""
    if amount is None:
        return NOTHING
    if amount >= 1 << 30:
        return f"{amount / (1 << 30):.2f} GB"
    if amount >= _MIB:
        return f"{_round(amount / _MIB)} MB"
    return f"{amount / 1024:.1f} kB" if amount >= 1024 else f"{amount} B"


def describe_usd(usd: float | None) -> str:
    """Dollars with cents, with a real minus."""
    if usd is None:
        return NOTHING
    if abs(usd) < 0.005:
        return "$0.00" if usd == 0 else "≈ $0.00"
    return f"{_MINUS if usd < 0 else ''}${abs(usd):,.2f}"


def describe_percent(percent: float | None) -> str:
    """Such as `75 %` and `0.3 %`, with a real minus."""
    if percent is None:
        return NOTHING
    text = f"{abs(percent):.0f}" if abs(percent) >= 10 else f"{abs(percent):.1f}"
    return f"{_MINUS if percent < 0 and float(text) else ''}{text.removesuffix('.0')} %"


def describe_share(part: int, whole: int) -> str:
    """A part of a whole in percent."""
    return describe_percent(part / whole * 100) if whole else NOTHING


def describe_rate(per_second: float) -> str:
    """A number a second."""
    if per_second == 0:
        return "0"
    return f"{per_second:,.0f}" if per_second >= 100 else _round(per_second)


def describe_time(at_ms: int | None) -> Markup:
    """The time of day in UTC, with the date for programs and for whoever points at it."""
    if not at_ms:
        return escape(NOTHING)
    at = datetime.fromtimestamp(at_ms / 1_000, UTC)
    whole = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return Markup('<time datetime="{0}" title="{0}">{1}</time>').format(whole, f"{at:%H:%M:%S}")


def describe_moment(at_ms: int | None) -> Markup:
    """Date and time in UTC."""
    if not at_ms:
        return escape(NOTHING)
    at = datetime.fromtimestamp(at_ms / 1_000, UTC)
    whole = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return Markup('<time datetime="{}">{}</time>').format(whole, f"{at:%Y-%m-%d %H:%M:%S}")


def describe_instant(at_ms: int) -> Markup:
    """The same with milliseconds."""
    whole = datetime.fromtimestamp(at_ms / 1_000, UTC).isoformat(timespec="milliseconds")
    text = whole.replace("+00:00", "")
    return Markup('<time datetime="{}Z">{}</time>').format(text, text.replace("T", " "))


def describe_json(payload: bytes) -> str:
    """JSON with line breaks; what is no JSON as it stands."""
    try:
        return json.dumps(json.loads(payload), indent=2, ensure_ascii=False)
    except ValueError:
        return payload.decode(errors="replace")


def cut(text: str, characters: int) -> Markup:
    """The beginning of a long text, and how much is left out."""
    if len(text) <= characters:
        return escape(text)
    note = f"\n… {len(text) - characters:,} more characters"
    return escape(text[:characters]) + Markup('<span class="quiet">{}</span>').format(note)


def spell(word: str) -> str:
    """A word of the events as people write it."""
    return str(word).replace("_", " ")


def _round(figure: float) -> str:
    if figure >= 100:
        return f"{figure:.0f}"
    return f"{figure:.1f}" if figure >= 10 else f"{figure:.2f}"
