"""`hearth profile` as text and as SVG: what is drawn is what was measured."""

import re
from xml.etree import ElementTree as ET

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from cli.profile_svg import draw_svg
from cli.profile_text import WIDTH, draw_text, sample_columns, share_out
from profiler.view import Curve, make_view
from shared.events import InvocationFinished, InvocationProfiled
from tests.unit.test_profile import load, make_finished

SVG = "{http://www.w3.org/2000/svg}"


def finished(capture: str = "v1/waiting.txt") -> InvocationFinished:
    return make_finished(*load(capture))


def test_the_legend_names_every_part_and_its_share() -> None:
    """In words and figures; the bar is as long as the charts are wide."""
    text = click.unstyle(draw_text(make_view("req-1", finished())))
    lines = text.splitlines()

    assert "req-1 · thumb · succeeded · warm start" in lines[0]
    assert WIDTH == len(lines[2])
    assert [line for line in lines if line.startswith("░ waiting") and "network, timer" in line]
    assert "not known" not in text
    assert re.search(
        r"^memory, up to 3[0-9]\.[0-9] MB, sampled from 2[0-9]{2} ms on$", text, re.MULTILINE
    )


def test_a_short_run_has_no_curves_and_a_run_without_readings_no_figures() -> None:
    """What was not measured is named."""
    short = make_view("req-1", finished("v1/small_after_large.txt"))
    blind = make_view("req-1", replace(finished(), readings=None))

    assert () == short.curves == blind.curves
    assert ["unattributed"] == [part.name for part in blind.parts]
    assert "cpu_user_us" in dict(blind.facts)["not known"]
    assert "not measured" == dict(blind.facts)["memory"]


def test_a_profile_without_its_readings_is_shown_as_it_was_made() -> None:
    """When the raw text was trimmed away."""
    whole = make_view("req-1", finished())
    profiled = InvocationProfiled(
        event_id="1",
        invocation_id="req-1",
        causation_id="2",
        occurred_at_ms=3,
        execution=whole.execution,
        profile=whole.profile,
    )
    view = make_view("req-1", profiled)

    assert (whole.parts, whole.facts, ()) == (view.parts, view.facts, view.curves)


def test_the_picture_is_well_formed_whatever_the_names_are() -> None:
    """A request id may hold what XML minds; the bar's pieces fill its width."""
    root = ET.fromstring(draw_svg(make_view("<a&b>", finished())))  # noqa: S314
    bar = [box for box in root.iter(f"{SVG}rect") if box.get("height") == "30"]

    assert "<a&b> · thumb" in (root.findtext(f"{SVG}title") or "")
    assert 712 == pytest.approx(sum(float(box.get("width") or 0) for box in bar), abs=1)
    assert 2 == len(list(root.iter(f"{SVG}polyline")))


def test_columns_hold_the_highest_point_of_their_time() -> None:
    """Nothing before the first sample, the last one where there is none."""
    curve = Curve("memory", "MB", ((26, 1.0), (30, 5.0), (40, 2.0), (90, 3.0)))

    assert [0.0, 5.0, 2.0, 3.0] == sample_columns(curve, 4, 100)


@given(st.lists(st.integers(1, 10**9), min_size=1, max_size=7))
def test_letters_are_shared_out(amounts: list[int]) -> None:
    """Every part has one at least, all together fill the line."""
    lengths = share_out(amounts, WIDTH)

    assert WIDTH == sum(lengths)
    assert min(lengths) >= 1
