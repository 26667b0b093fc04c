"""The tip: one or two sentences that tell a person what to do and what it brings.

Not here: the decision (`recommendation`). Every figure in a tip is in the advice too.
"""

from enum import StrEnum
from typing import Literal

from msgspec import Struct

Language = Literal["en", "ko"]


class Reason(StrEnum):
    """Why the advised size is what it is."""

    OUT_OF_MEMORY = "out_of_memory"
    MEMORY_RISK = "memory_risk"
    TIGHT = "tight"
    FASTER = "faster"
    WASTE = "waste"
    SMALLER = "smaller"
    FITS = "fits"
    LARGEST = "largest"
    NO_PEAK = "no_peak"
    NO_DURATION = "no_duration"


class Situation(Struct, frozen=True, kw_only=True):
    """What a tip is about. Durations of 0: not known."""

    reason: Reason
    limit_mb: int
    peak_mb: int
    memory_mb: int
    savings_percent: float = 0.0
    monthly_usd: float | None = None
    run_now_us: int = 0
    run_us: int = 0
    failed_mb: int = 0


class Phrases(Struct, frozen=True, kw_only=True):
    """The words of one language."""

    reasons: dict[Reason, str]
    saves_usd: str
    saves_percent: str
    saves_little: str
    costs_usd: str
    costs_percent: str
    same_price: str
    duration: str


ENGLISH = Phrases(
    reasons={
        Reason.WASTE: "Resource waste: {limit} MB allocated, peak {peak} MB. "
        "Switch to {memory} MB{price}.{duration}",
        Reason.SMALLER: "Smaller is enough: {limit} MB allocated, peak {peak} MB. "
        "Switch to {memory} MB{price}.{duration}",
        Reason.FASTER: "CPU-limited: {now} ms a call at {limit} MB. "
        "Switch to {memory} MB for {then} ms a call{price}.",
        Reason.MEMORY_RISK: "Memory risk: peak {peak} MB of {limit} MB. "
        "Switch to {memory} MB{price}.{duration}",
        Reason.TIGHT: "Little headroom: peak {peak} MB of {limit} MB. "
        "Switch to {memory} MB{price}.{duration}",
        Reason.OUT_OF_MEMORY: "Out of memory at {failed} MB. "
        "Switch to {memory} MB{price}.{duration}",
        Reason.FITS: "{limit} MB fits: peak {peak} MB.",
        Reason.LARGEST: "Memory risk: {limit} MB is the largest size and hardly enough. "
        "Make the function use less.",
        Reason.NO_PEAK: "Stay at {limit} MB: no memory peak could be measured.",
        Reason.NO_DURATION: "Stay at {limit} MB until a run succeeds and can be timed: "
        "peak {peak} MB.",
    },
    saves_usd=" to save ${usd:,.2f} a month",
    saves_percent=" to save {percent:g} % of the compute price",
    saves_little=" to save {percent:g} % of the compute price, less than a cent a month",
    costs_usd=", for ${usd:,.2f} a month more",
    costs_percent=", for {percent:g} % more",
    same_price=", at about the same price",
    duration=" A call then takes {then} ms instead of {now} ms.",
)

KOREAN = Phrases(
    reasons={
        Reason.WASTE: "자원 낭비: {limit} MB 할당, 최대 사용량 {peak} MB. "
        "{memory} MB로 변경하세요{price}.{duration}",
        Reason.SMALLER: "더 작은 크기로 충분: {limit} MB 할당, 최대 사용량 {peak} MB. "
        "{memory} MB로 변경하세요{price}.{duration}",
        Reason.FASTER: "CPU 제한: {limit} MB에서 호출당 {now} ms. "
        "{memory} MB로 변경하면 호출당 {then} ms입니다{price}.",
        Reason.MEMORY_RISK: "메모리 위험: {limit} MB 중 최대 사용량 {peak} MB. "
        "{memory} MB로 변경하세요{price}.{duration}",
        Reason.TIGHT: "여유 부족: {limit} MB 중 최대 사용량 {peak} MB. "
        "{memory} MB로 변경하세요{price}.{duration}",
        Reason.OUT_OF_MEMORY: "{failed} MB에서 메모리 부족. "
        "{memory} MB로 변경하세요{price}.{duration}",
        Reason.FITS: "{limit} MB가 적절합니다: 최대 사용량 {peak} MB.",
        Reason.LARGEST: "메모리 위험: {limit} MB는 최대 크기이며 거의 부족합니다. "
        "함수의 메모리 사용을 줄이세요.",
        Reason.NO_PEAK: "{limit} MB 유지: 최대 메모리 사용량을 측정할 수 없었습니다.",
        Reason.NO_DURATION: "성공한 실행 시간이 측정될 때까지 {limit} MB 유지: "
        "최대 사용량 {peak} MB.",
    },
    saves_usd=" (월 ${usd:,.2f} 절약)",
    saves_percent=" (컴퓨팅 요금 {percent:g} % 절약)",
    saves_little=" (컴퓨팅 요금 {percent:g} % 절약, 월 1센트 미만)",
    costs_usd=" (월 ${usd:,.2f} 추가)",
    costs_percent=" ({percent:g} % 추가)",
    same_price=" (요금은 거의 같음)",
    duration=" 호출 시간은 {now} ms에서 {then} ms로 바뀝니다.",
)

_PHRASES: dict[Language, Phrases] = {"en": ENGLISH, "ko": KOREAN}
_SAME_PRICE_PERCENT = 5.0
_CENT_USD = 0.005  # less is shown as nothing
_SAME_DURATION_PERCENT = 5


def write_tip(situation: Situation, language: Language) -> str:
    """The tip in `language`."""
    phrases = _PHRASES[language]
    now, then = _format_ms(situation.run_now_us), _format_ms(situation.run_us)
    change_us = abs(situation.run_us - situation.run_now_us)
    changes = change_us * 100 > situation.run_now_us * _SAME_DURATION_PERCENT
    return phrases.reasons[situation.reason].format(
        limit=situation.limit_mb,
        peak=situation.peak_mb,
        memory=situation.memory_mb,
        failed=situation.failed_mb,
        now=now,
        then=then,
        price=_describe_price(situation, phrases),
        duration=phrases.duration.format(now=now, then=then) if changes else "",
    )


def _describe_price(situation: Situation, phrases: Phrases) -> str:
    """What happens to the price; nothing where that is not known."""
    percent, usd = situation.savings_percent, situation.monthly_usd
    if situation.run_now_us == 0:
        return ""
    if situation.reason is Reason.FASTER and abs(percent) <= _SAME_PRICE_PERCENT:
        return phrases.same_price
    if percent > 0:
        if usd is None:
            return phrases.saves_percent.format(percent=percent)
        form = phrases.saves_usd if usd >= _CENT_USD else phrases.saves_little
        return form.format(percent=percent, usd=usd)
    if percent == 0:
        return ""
    form = phrases.costs_percent if usd is None or usd > -_CENT_USD else phrases.costs_usd
    return form.format(percent=-percent, usd=-(usd or 0.0))


def _format_ms(duration_us: int) -> str:
    """Whole milliseconds, or one decimal where that matters."""
    return f"{duration_us / 1000:.0f}" if duration_us >= 10_000 else f"{duration_us / 1000:.1f}"
