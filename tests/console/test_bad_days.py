"""The console on a bad day: nothing there yet, no Redis, hostile data, uninvited guests."""

import re
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis
from playwright.sync_api import expect

from console.access import COOKIE
from shared.codec import encode
from shared.events import (
    Answer,
    DeadLettered,
    Execution,
    Failure,
    InvocationFinished,
    InvocationTuned,
    Limits,
    Outcome,
    Phases,
    Profile,
    Start,
)
from shared.topology import key, stream_of
from tests.console.axe import list_violations, read_axe
from tests.console.visits import MakeConsole, MakeVisit, wait_for
from tests.fixtures_redis import RedisServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

EVIL = "<script>window.taken=1</script><img src=x onerror='window.taken=1'>\"'><b>"
TOKEN = "a-token-that-nobody-guesses"


def append(server: RedisServer, *events: Any) -> list[str]:
    """Recorded events, each to its stream; their entry ids."""
    with redis.Redis.from_url(server.url) as client:
        return [
            client.xadd(
                key(stream_of(type(event).__name__), 0), {"event": encode(event)}
            ).decode()
            for event in events
        ]  # fmt: skip


def make_hostile() -> list[Any]:
    """An invocation and a letter whose every text is an attempt."""
    execution = Execution(
        function_id=EVIL,
        outcome=Outcome.FAILED,
        requested_at_ms=1_795_488_000_000,
        start=Start.WARM,
        worker_id=EVIL,
        limits=Limits(memory_mb=128, timeout_ms=1_000),
        phases=Phases(queued_us=100, run_us=2_000),
        answer=Answer(
            output=msgspec.Raw(msgspec.json.encode({"x": EVIL})),
            failure=Failure(type=EVIL, message=EVIL, stack=(EVIL,)),
            logs=EVIL + "\x1b[31m\x00",
        ),
    )
    header: dict[str, Any] = {"invocation_id": EVIL, "occurred_at_ms": 1_795_488_001_000}
    return [
        InvocationFinished(event_id="e1", causation_id=EVIL, execution=execution, **header),
        InvocationTuned(event_id="e2", causation_id="e1", execution=execution, profile=Profile(),
                        **header),
        DeadLettered(event_id="e3", causation_id=EVIL, stage=EVIL, stream=EVIL, entry_id=EVIL,
                     attempts=5, reason=EVIL, payload=EVIL.encode() + b"\xff\x00", **header),
    ]  # fmt: skip


def ask(address: str, path: str, method: str = "GET", body: str = "", **headers: str) -> Any:
    """One request as anybody could send it; status, headers and text of the answer."""
    connection = HTTPConnection(address.removeprefix("http://"), timeout=10)
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    if body:
        names["Content-Type"] = "application/x-www-form-urlencoded"
    connection.request(method, path, body or None, names)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, answer.headers, text


def test_with_nothing_there_every_page_says_what_to_do(
    redis_server: RedisServer, make_console: MakeConsole, visit: MakeVisit
) -> None:
    """Empty states that help, and no barrier in them."""
    address, here = make_console(redis_server), visit(390)
    hints = {
        "/": ["No function has run yet", "hearth invoke", "is it started?"],
        "/replays": ["No replay has written a model yet", '"memoryMb": "auto"'],
        "/dead": ["No dead letters"],
        "/function?id=nobody": ["No such function", "nobody"],
        "/nowhere": ["No such page"],
    }
    for path, texts in hints.items():
        page = here.open(address + path)
        for text in texts:
            expect(page.locator("main")).to_contain_text(text)
        assert [] == list_violations(page, read_axe()), path
        assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_data_is_text_wherever_it_stands(
    redis_server: RedisServer, make_console: MakeConsole, visit: MakeVisit
) -> None:
    """Scripts in ids, logs, outputs, errors and reasons are shown on every page, and none runs."""
    *_, letter = append(redis_server, *make_hostile())
    address, here = make_console(redis_server), visit(390)
    page = here.open(address)
    page.locator("#recent-table td a").first.click()
    expect(page.locator("h1")).to_have_text(EVIL)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.locator(".kind a").click()
    expect(page.locator("h1")).to_have_text(EVIL)
    for path in ("/replays", "/dead", f"/dead/letter?id={letter}"):
        here.open(address + path)
        assert page.evaluate("[window.taken, document.querySelectorAll('main b, main img').length]"
                             ) == [None, 0]  # fmt: skip
    expect(page.locator("main")).to_contain_text(EVIL)
    assert here.complaints == []


def test_without_redis_the_page_says_so_and_goes_on_when_it_is_back(
    mortal_redis: RedisServer, make_console: MakeConsole, visit: MakeVisit
) -> None:
    """What was known stays, the cause is named; look-ups have a page of their own that waits."""
    append(mortal_redis, *make_hostile()[:1])
    address, here = make_console(mortal_redis), visit()
    page = here.open(address)
    expect(page.locator("#functions-table tbody tr")).to_have_count(1)
    mortal_redis.kill()

    expect(page.locator("#problem")).to_contain_text("Redis does not answer", timeout=15_000)
    expect(page.locator("#live")).to_have_text("waiting for Redis")
    expect(page.locator("#functions-table tbody tr")).to_have_count(1)
    other = visit()
    waiting = other.open(f"{address}/invocation?id=req-9")
    expect(waiting.locator("h1")).to_have_text("This page needs Redis")
    assert [] == list_violations(waiting, read_axe())
    mortal_redis.start()
    expect(page.locator("#live")).to_have_text("live", timeout=15_000)
    expect(page.locator("#problem")).not_to_contain_text("Redis")
    expect(waiting.locator("h1")).to_have_text("No such invocation", timeout=15_000)


def test_what_did_not_change_is_not_sent_again(
    redis_server: RedisServer, make_console: MakeConsole
) -> None:
    """A page that is asked for with its tag."""
    address = make_console(redis_server)
    wait_for(lambda: "not been read" not in ask(address, "/dead")[2])
    _, headers, _ = ask(address, "/dead")
    status, _, text = ask(address, "/dead", If_None_Match=headers["ETag"])

    assert (304, "") == (status, text)


def test_only_the_token_opens_a_console_that_others_can_reach(
    redis_server: RedisServer, make_console: MakeConsole, visit: MakeVisit, tmp_path: Path
) -> None:
    """By the form; a wrong one is told; the cookie is not the token, and no log has it."""
    address = make_console(redis_server, CONSOLE_BIND="0.0.0.0", CONSOLE_TOKEN=TOKEN)
    here = visit(390)
    page = here.open(f"{address}/dead")
    expect(page.locator("main")).not_to_contain_text("No dead letters")
    assert [] == list_violations(page, read_axe())
    page.fill("#token", "another-token-of-somebody")
    page.click("text=Enter")
    expect(page.get_by_role("alert")).to_have_text("That is not the token.")
    page.fill("#token", TOKEN)
    page.click("text=Enter")

    expect(page).to_have_url(f"{address}/dead")
    expect(page.locator("main")).to_contain_text("No dead letters")
    (cookie,) = page.context.cookies()
    assert (COOKIE, True, "Lax") == (cookie["name"], cookie["httpOnly"], cookie["sameSite"])
    assert TOKEN not in cookie["value"]
    assert TOKEN not in "".join(file.read_text() for file in tmp_path.glob("*.log"))


def test_a_token_in_the_address_is_taken_out_of_it(
    redis_server: RedisServer, make_console: MakeConsole
) -> None:
    """It becomes a cookie; without either there is nothing, but for the health check."""
    address = make_console(redis_server, CONSOLE_TOKEN=TOKEN)

    status, headers, _ = ask(address, f"/function?id=a%26b&token={TOKEN}")

    assert (303, "/function?id=a%26b") == (status, headers["Location"])
    cookie = headers["Set-Cookie"].partition(";")[0]
    assert 404 == ask(address, "/function?id=a", Cookie=cookie)[0]
    for path in ("/", "/dead", "/document?id=x", "/?token=wrong", "/nowhere"):
        assert 401 == ask(address, path)[0], path
    assert 200 == ask(address, "/healthz")[0]


def test_where_others_can_reach_it_a_token_is_made(
    redis_server: RedisServer, make_console: MakeConsole, tmp_path: Path
) -> None:
    """In a file for its owner alone; it opens the console and is in no log."""
    address = make_console(redis_server, CONSOLE_BIND="0.0.0.0")
    file = tmp_path / "state" / "console-token"
    token = file.read_text().strip()

    assert 401 == ask(address, "/")[0]
    assert 303 == ask(address, f"/?token={token}")[0]
    assert 0o600 == file.stat().st_mode & 0o777
    logs = "".join(one.read_text() for one in tmp_path.glob("*.log"))
    assert "console.token_made" in logs
    assert token not in logs


def test_on_the_loopback_no_other_name_is_answered(
    redis_server: RedisServer, make_console: MakeConsole
) -> None:
    """So a page of the web cannot read it through a name of its own that leads here."""
    address = make_console(redis_server)

    assert 421 == ask(address, "/", Host="console.example:80")[0]
    assert 200 == ask(address, "/", Host="localhost:1234")[0]
    assert 200 == ask(address, "/", Host="[::1]:8001")[0]


def test_only_a_page_of_the_console_puts_a_letter_back(
    redis_server: RedisServer, make_console: MakeConsole
) -> None:
    """Its origin and the form's key are asked for, each alone is not enough; nothing else posts."""
    letter = DeadLettered(
        event_id="e", invocation_id="i", causation_id="c", occurred_at_ms=1, stage="tuner",
        stream="profiles", entry_id="1-1", attempts=1, reason="no", payload=b"{}",
    )  # fmt: skip
    message = msgspec.structs.replace(letter, stream="")
    entry_id, never = append(redis_server, letter, message)
    address = make_console(redis_server)
    (key_of_form,) = re.findall(
        r'name="key" value="(\w+)"', ask(address, f"/dead/letter?id={entry_id}")[2]
    )
    body = f"id={entry_id}&partition=0&key={key_of_form}"

    def post(body: str, path: str = "/dead/requeue", **headers: str) -> int:
        return int(ask(address, path, "POST", body, **headers)[0])

    assert 403 == post(body)
    assert 403 == post(body, Origin="http://evil.example")
    assert 403 == post(body, Origin="null")
    assert 403 == post(body, Origin=address, Sec_Fetch_Site="cross-site")
    assert 403 == post(f"id={entry_id}&partition=0&key=0000", Origin=address)
    assert 405 == post(body, "/dead", Origin=address)
    assert 404 == post(body.replace(entry_id, "1-1"), Origin=address)
    assert 409 == post(body.replace(entry_id, never), Origin=address)
    assert 413 == post(body + "x" * 70_000, Origin=address)
    with redis.Redis.from_url(redis_server.url) as client:
        assert 0 == client.xlen(key(stream_of("InvocationProfiled"), 0))
        assert 303 == post(body, Origin=address, Sec_Fetch_Site="same-origin")
        assert 1 == client.xlen(key(stream_of("InvocationProfiled"), 0))


def test_every_answer_forbids_what_is_not_its_own(
    redis_server: RedisServer, make_console: MakeConsole
) -> None:
    """No address but its own, nothing inline, no frame, no guess at a type, nothing kept."""
    address = make_console(redis_server)
    for path in ("/", "/nowhere", "/static/console.css", "/healthz"):
        _, headers, text = ask(address, path)
        policy = headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert "nosniff" == headers["X-Content-Type-Options"]
        assert not re.search(r"(https?:)?//\w", text.replace("http://www.w3.org", "")), path
    assert "no-store" == ask(address, "/")[1]["Cache-Control"]


def test_a_taken_port_names_the_setting(
    redis_server: RedisServer, make_console: MakeConsole, tmp_path: Path
) -> None:
    """The second console says which setting to change."""
    address = make_console(redis_server)
    make_console(redis_server, CONSOLE_PORT=address.rpartition(":")[2])
    said = tmp_path / "console-1.log"

    wait_for(lambda: "Set CONSOLE_PORT to a free port" in said.read_text())
