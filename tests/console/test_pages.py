"""The console's pages in Chromium, on a whole stack that ran real functions."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.console.axe import list_violations, read_axe
from tests.console.scene import Scene
from tests.console.visits import MakeVisit, Visit

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

BYTES_MAX = 100_000
PATHS = {
    "overview": "/",
    "function": "/function?id=thumb",
    "invocation": "/invocation?id=report-0",
    "failed": "/invocation?id=broken-0",
    "replays": "/replays",
    "dead": "/dead",
    "missing": "/invocation?id=nobody",
}


def read_cells(page: Page, table: str, column: int) -> list[str]:
    """The texts of a column, from the top."""
    return page.locator(f"#{table} tbody tr td:nth-child({column})").all_inner_texts()


def sees(visit: Visit, text: str | re.Pattern[str]) -> None:
    """It stands somewhere in the page, now or soon."""
    expect(visit.page.locator("main")).to_contain_text(text)


def test_the_overview_tells_how_everything_is(scene: Scene, visit: MakeVisit) -> None:
    """Figures with their units, every stage, the functions, the newest invocations."""
    here = visit()
    page = here.open(scene.address)

    expect(page).to_have_title("Overview · Hearth")
    figures = page.locator("#figures .figure").all_inner_texts()
    assert [text.split("\n")[0] for text in figures] == [
        "Results a second", "Latency p50", "Latency p99",
        "Cold starts", "Not succeeded", "Advice would save",
    ]  # fmt: skip
    assert re.search(r"\d (ms|s)\n", figures[1])
    assert "2 of 28" in figures[4]
    stages = page.locator(".stage h3").all_inner_texts()
    assert ["executor", "profiler", "tuner", "publisher", "ingest"] == stages
    assert page.locator(".stage.bad").count() == 0
    assert ["1"] * 5 == page.locator(".stage dl div:nth-child(3) dd").all_inner_texts()
    assert re.search(r"Sandboxes of this host .*busy, .*idle, .*generic", page.inner_text(".facts"))
    assert {"thumb", "report", "broken", "large"} == set(read_cells(page, "functions-table", 1))
    assert "out of memory" in read_cells(page, "recent-table", 3)
    assert page.locator("#throughput rect.failed").count() >= 1
    assert here.complaints == []


def test_a_function_shows_its_curve_its_peaks_its_advice_and_its_ledger(
    scene: Scene, visit: MakeVisit
) -> None:
    """The points seen, the advised size, evidence that leads to invocations, both changes."""
    here = visit()
    page = here.open(f"{scene.address}/function?id=thumb")

    points = page.locator("#curve circle.duration title").all_text_contents()
    assert [256, 512, 1024] == sorted(int(text.split()[0]) for text in points)
    expect(page.locator("#curve line.advised")).to_have_count(1)
    assert page.locator("#peaks circle.memory").count() == 24
    assert ["1024 MB", "512 MB"] == read_cells(page, "ledger-table", 2)
    sees(here, "512 MB to 256 MB: Resource waste")
    page.click("#evidence-details summary")
    page.locator("#evidence-details a").first.click()
    expect(page).to_have_url(re.compile(r"/invocation\?id=thumb-023#event-[0-9a-f]{32}$"))
    assert here.complaints == []


def test_an_invocation_shows_where_its_time_went_and_every_event(
    scene: Scene, visit: MakeVisit
) -> None:
    """Waterfall, breakdown, both curves, log, chain of causes, and the document."""
    here = visit()
    page = here.open(f"{scene.address}/invocation?id=report-0")

    steps = page.locator(".waterfall .step").all_inner_texts()
    assert ["run", "profile", "tune", "publish"] == steps[-4:]
    assert {"queued", "init"} <= set(steps)
    assert "on CPU" in page.inner_text("#breakdown")
    assert page.locator("#used polyline.memory").count() == 1
    assert page.locator("#used polyline.cpu").count() == 1
    sees(here, "reading 20000 rows")
    assert [
        "InvocationRequested", "InvocationFinished", "InvocationProfiled",
        "InvocationTuned", "ResultPublished",
    ] == page.locator(".chain h3").all_inner_texts()  # fmt: skip
    causes = page.locator(".chain a").evaluate_all(
        "links => links.map(one => !!document.getElementById(one.hash.slice(1)))"
    )
    assert [True] * 4 == causes
    page.click("#document-details summary")
    sees(here, '"requestId": "report-0"')
    assert here.complaints == []


def test_what_a_function_printed_is_text(scene: Scene, visit: MakeVisit) -> None:
    """A script in a log is shown and not run; so is the failure of a function."""
    here = visit()
    page = here.open(f"{scene.address}/invocation?id=report-0")

    expect(page).to_have_title("report-0 · Hearth")
    sees(here, "<script>document.title = 'taken over'</script>")
    here.open(f"{scene.address}/invocation?id=broken-0")
    expect(page.locator("#failure-title")).to_have_text("KeyError")
    sees(here, "looking for pear")
    assert here.complaints == []


def test_replays_and_changed_limits_are_listed(scene: Scene, visit: MakeVisit) -> None:
    """What the last replay knows of each function, and what the tuner set."""
    here = visit()
    page = here.open(f"{scene.address}/replays")

    rows = dict(
        zip(read_cells(page, "models-table", 1), read_cells(page, "models-table", 3), strict=True)
    )
    assert {"thumb": "24", "report": "2", "broken": "1", "large": "1"} == rows
    assert ["thumb"] == read_cells(page, "changes-table", 1)


def test_the_page_follows_what_happens(scene: Scene, visit: MakeVisit) -> None:
    """A new invocation appears without a reload; the order that was chosen stays, and the focus."""
    here = visit()
    page = here.open(scene.address)
    page.evaluate("window.stayed = true")
    name = page.get_by_role("button", name="Request", exact=True)
    name.focus()
    page.keyboard.press("Enter")
    scene.client.invoke("a-new-one", "broken", input={"fruit": "apple"})

    expect(page.locator("#recent-table tbody tr:first-child")).to_contain_text("a-new-one")
    expect(page.locator("#live")).to_have_text("live")
    assert page.evaluate("window.stayed")
    assert "Request" == page.evaluate("document.activeElement.textContent")
    assert "ascending" == page.locator("#recent-table th").first.get_attribute("aria-sort")
    assert here.complaints == []


def test_everything_is_reached_by_keyboard(scene: Scene, visit: MakeVisit) -> None:
    """The first stop leads to the content, each has a visible outline, columns sort both ways."""
    page = visit().open(scene.address)
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()
    stops = []
    for _ in range(30):
        page.keyboard.press("Tab")
        outline, label = page.evaluate(
            "() => [getComputedStyle(document.activeElement).outlineStyle,"
            " document.activeElement.textContent]"
        )
        assert outline == "solid", label
        stops.append(label)
        if label == "Calls":
            break
    page.keyboard.press("Space")
    falling = read_cells(page, "functions-table", 2)
    page.keyboard.press("Space")

    assert ["Function", "Calls"] == stops[:2]
    assert falling == sorted(falling, key=int, reverse=True)
    assert falling[::-1] == read_cells(page, "functions-table", 2)


def test_the_theme_is_the_systems_until_one_is_chosen(scene: Scene, visit: MakeVisit) -> None:
    """Dark where the system is; the switch goes on from there and outlives a reload."""
    page = visit(theme="dark").open(scene.address)
    ground = "() => getComputedStyle(document.body).backgroundColor"

    dark = page.evaluate(ground)
    page.click("#theme")
    light = page.evaluate(ground)
    page.reload()

    assert (dark, light) == ("rgb(20, 18, 16)", "rgb(246, 244, 240)")
    assert light == page.evaluate(ground)
    expect(page.locator("#theme")).to_have_accessible_name("Theme: light. Change it")


@pytest.mark.parametrize(("width", "theme"), [(1_280, "light"), (390, "dark")])
def test_every_page_fits_is_small_and_has_no_barrier(
    scene: Scene, visit: MakeVisit, width: int, theme: str
) -> None:
    """No scrolling sideways, under 100 kB with all it loads, nothing that axe objects to."""
    axe, here, assets = read_axe(), visit(width, theme), 0
    for name, path in {**PATHS, "letter": f"/dead/letter?id={scene.letter}"}.items():
        page = here.open(scene.address + path)

        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        assets = assets or here.count_bytes(assets=True)  # the first page loads them for all
        assert assets < assets + here.count_bytes(assets=False) < BYTES_MAX, name
        assert all(answer.url.startswith(scene.address) for answer in here.answers), name
        assert [] == list_violations(page, axe), name
        expected = ["Failed to load resource"] if name == "missing" else []
        assert expected == [one.split(":")[0] for one in here.complaints], name
        here.complaints.clear()


def test_a_dead_letter_is_put_back(scene: Scene, visit: MakeVisit) -> None:
    """From the list to its bytes to its stream; it is told, and it is buried anew."""
    here = visit()
    page = here.open(f"{scene.address}/dead")
    page.get_by_role("link", name=scene.letter).click()
    sees(here, '{"invocation_id":"thumb-003","broken":')
    page.get_by_role("button", name="Requeue").click()

    expect(page.get_by_role("status").filter(has_text="Requeued")).to_contain_text("profiles")
    (entry_id,) = re.findall(r"as entry (\S+)", page.inner_text("main"))
    ((found, fields),) = scene.client.redis.xrange("{hearth:0}:profiles", entry_id, entry_id)
    assert (entry_id, '{"invocation_id":"thumb-003","broken":') == (found, fields["event"])
    here.open(f"{scene.address}/dead")
    expect(page.locator("#letters-table tbody tr")).to_have_count(2)
    assert here.complaints == []
