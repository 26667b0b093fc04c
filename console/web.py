"""HTTP around the pages: access, headers, forms, compression. A WSGI application.

Not here: what a page shows (`pages`), the rules of access (`access`), the server (`process`).

Nothing is loaded from elsewhere: the policy that each answer carries forbids it, and style
attributes and inline scripts too.
"""

import gzip
from collections.abc import Callable, Iterable, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Request, Response

from console import words
from console.access import COOKIE, Access, is_same_origin
from console.pages import Page, Pages, address
from shared.inbox import LogUnavailableError

_HERE = Path(__file__).parent
_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_COMPRESSED_BYTES_MIN = 500
_FORM_BYTES_MAX = 16_384
_COOKIE_SECONDS = 30 * 86_400
_FOLLOW = "X-Hearth-Follow"
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}

Answer = Callable[[Mapping[str, str]], Page]


class Web:
    """The application. Its methods are called by several threads."""

    def __init__(self, pages: Pages, access: Access) -> None:
        self._pages = pages
        self._access = access
        self._assets = {
            file.name: file.read_bytes() for file in sorted((_HERE / "static").iterdir())
        }
        self._templates = make_templates(self._assets)
        self._shown: dict[str, Answer] = {
            "/": pages.overview,
            "/function": pages.function,
            "/invocation": pages.invocation,
            "/document": pages.document,
            "/event": pages.event,
            "/replays": pages.replays,
            "/dead": pages.dead,
            "/dead/letter": pages.letter,
        }

    def __call__(self, environ: dict[str, Any], start: Any) -> Iterable[bytes]:  # noqa: ANN401
        """See PEP 3333."""
        request = Request(environ)
        request.max_content_length = _FORM_BYTES_MAX
        try:
            response = self.answer(request)
        except HTTPException as error:
            response = Response(f"{error.name}\n", status=error.code, mimetype="text/plain")
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        response.headers.setdefault("Cache-Control", "no-store")
        return compress(request, response)(environ, start)

    def answer(self, request: Request) -> Response:
        """To one request. What has no secrets in it is there for everybody."""
        if request.path == "/healthz":
            return Response("well\n", mimetype="text/plain")
        if request.path.startswith("/static/"):
            return self._serve_asset(request.path.removeprefix("/static/"))
        if not self._access.admits(request.host, request.cookies.get(COOKIE, "")):
            return self._ask_for_token(request)
        if request.method in {"GET", "HEAD"}:
            return self._show(request)
        if request.method == "POST" and request.path == "/dead/requeue":
            return self._change(request)
        return self._say("This can only be looked at.", 405)

    def _show(self, request: Request) -> Response:
        if "token" in request.args:  # not left in the address for others to see
            return _go(_without_token(request))
        show = self._shown.get(request.path)
        if show is None:
            return self._render(Page("missing.html", {"kind": "page", "name": request.path}, 404))
        return self._finish(request, lambda: show(request.args))

    def _finish(self, request: Request, make: Callable[[], Page]) -> Response:
        try:
            page = make()
        except LogUnavailableError as error:
            page = Page("away.html", {"reason": str(error)}, 503)
        if page.to:
            return _go(page.to)
        if page.document is not None:
            return Response(page.document, mimetype="application/json")
        response = self._render(page)
        if _FOLLOW in request.headers:
            # For the page's own script; the browser would note each other status as an error.
            response.headers[_FOLLOW] = str(response.status_code)
            response.status_code = 200
        response.add_etag()
        return response.make_conditional(request)

    def _change(self, request: Request) -> Response:
        """The one thing that changes anything."""
        if not _comes_from_here(request):
            return self._say("This did not come from a page of the console.", 403)
        if not self._access.believes(request.form.get("key", "")):
            return self._say("The page was older than the console: reload it and try again.", 403)
        return self._finish(request, lambda: self._pages.requeue(request.form))

    def _ask_for_token(self, request: Request) -> Response:
        """The door. A right token is answered with the cookie and the address without it."""
        if not self._access.token:
            text = f"The console answers as localhost, and not as {request.host}. "
            return _refuse(text + "Set CONSOLE_TOKEN to use another name.", 421)
        given, to = request.args.get("token", ""), _without_token(request)
        if request.method == "POST":
            if request.path != "/enter" or not _comes_from_here(request):
                return _refuse("This did not come from a page of the console.", 403)
            given, to = request.form.get("token", "").strip(), request.form.get("to", "/")
        # A path of this console; `//host` would lead elsewhere.
        if not to.isprintable() or to[:1] != "/" or to[1:2] in {"/", "\\"} or to == "/enter":
            to = "/"
        if not self._access.opens(given):
            return self._render(Page("enter.html", {"wrong": bool(given), "to": to}, 401))
        response = _go(to)
        response.set_cookie(
            COOKIE,
            self._access.cookie,
            max_age=_COOKIE_SECONDS,
            secure=request.is_secure or request.headers.get("X-Forwarded-Proto") == "https",
            httponly=True,
            samesite="Lax",
        )
        return response

    def _serve_asset(self, name: str) -> Response:
        body = self._assets.get(name)
        if body is None:
            return self._say("There is no such file.", 404)
        response = Response(body, mimetype=_TYPES[Path(name).suffix])
        # The address changes with the content.
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return response

    def _say(self, text: str, status: int) -> Response:
        return self._render(Page("said.html", {"text": text}, status))

    def _render(self, page: Page) -> Response:
        values = {**self._pages.state(), "form_key": self._access.form_key, **page.values}
        text = self._templates.get_template(page.name).render(values)
        return Response(text, status=page.status, mimetype="text/html")


def make_templates(assets: Mapping[str, bytes]) -> Environment:
    """Everything that a template prints is escaped, unless it is a `Markup`."""
    templates = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    versions = {name: blake2b(body, digest_size=6).hexdigest() for name, body in assets.items()}
    templates.globals["asset"] = lambda name: f"/static/{name}?v={versions[name]}"
    templates.globals["address"] = address
    templates.filters.update(
        us=words.describe_us,
        bytes=words.describe_bytes,
        usd=words.describe_usd,
        percent=words.describe_percent,
        rate=words.describe_rate,
        clock=words.describe_time,
        instant=words.describe_instant,
        moment=words.describe_moment,
        json=words.describe_json,
        bytes_of=bytes,
        cut=words.cut,
        spell=words.spell,
    )
    templates.globals["share"] = words.describe_share
    return templates


def compress(request: Request, response: Response) -> Response:
    """Smaller, for who takes it."""
    body = response.get_data()
    takes = request.accept_encodings["gzip"] > 0 and request.method != "HEAD"
    if takes and len(body) >= _COMPRESSED_BYTES_MIN:
        response.set_data(gzip.compress(body, 6, mtime=0))
        response.headers["Content-Encoding"] = "gzip"
    response.headers.add("Vary", "Accept-Encoding, Cookie")
    return response


def _comes_from_here(request: Request) -> bool:
    origin, site = request.headers.get("Origin"), request.headers.get("Sec-Fetch-Site")
    return is_same_origin(origin, site, request.host)


def _without_token(request: Request) -> str:
    query = {name: value for name, value in request.args.items() if name != "token"}
    return address(request.path, **query)


def _refuse(text: str, status: int) -> Response:
    """To whoever may not see anything."""
    return Response(f"{text}\n", status=status, mimetype="text/plain")


def _go(to: str) -> Response:
    return Response(status=303, headers={"Location": to})
