"""GitHub's REST API, as much of it as evo speaks (https://docs.github.com/rest), with urllib.

The base is GITHUB_API_URL or the public API. The token goes to that base's host and nowhere
else: not to where a redirect leads, not to a host that an issue's URL names.
"""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPMessage
from typing import IO, Any
from urllib.parse import urlsplit

from evo_agent.core.errors import EvoError, UsageError

PUBLIC_API = "https://api.github.com"
TRIES = 4
TIMEOUT = 20.0  # seconds a try
LONGEST_WAIT = 30.0  # seconds between tries, whatever the server asks for
MAX_ANSWER = 5 * 2**20
_SERVER_ERROR, _TOO_MANY = 500, 429


class GitHubError(EvoError):
    """GitHub cannot be reached, refuses, or answers what it should not."""


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, without carrying the token to another host."""

    def redirect_request(  # noqa: PLR0917  urllib's signature
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        """Make the next request."""
        following = super().redirect_request(req, fp, code, msg, headers, newurl)
        if following is not None and _origin(newurl) != _origin(req.full_url):
            following.remove_header("Authorization")
        return following


@dataclass(frozen=True, slots=True)
class GitHub:
    """One API to talk to.

    Attributes:
        base: its URL without a slash at the end.
        token: sent as a bearer token; may be empty.
        pause: waits between tries, in seconds.
    """

    base: str = PUBLIC_API
    token: str = field(default="", repr=False)
    pause: Callable[[float], None] = time.sleep

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> "GitHub":
        """The API that the environment names.

        Raises:
            UsageError: GITHUB_API_URL is no http(s) URL.
        """
        base = (environ.get("GITHUB_API_URL") or PUBLIC_API).rstrip("/")
        if urlsplit(base).scheme not in ("http", "https") or not urlsplit(base).hostname:
            raise UsageError(f"GITHUB_API_URL is no URL: {base}", f"for example {PUBLIC_API}")
        return cls(base, environ.get("GITHUB_TOKEN") or environ.get("GH_TOKEN") or "")

    def get(self, path: str) -> dict[str, Any]:
        """GET an object.

        Raises:
            GitHubError: in one line, with the remedy.
        """
        return self._ask("GET", path, None)

    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """POST an object. Tried once only: a lost answer must not open two pull requests.

        Raises:
            GitHubError: in one line, with the remedy.
        """
        return self._ask("POST", path, json.dumps(body).encode(), tries=1)

    def _ask(
        self, method: str, path: str, body: bytes | None, tries: int = TRIES
    ) -> dict[str, Any]:
        url = f"{self.base}/{path}"
        for left in reversed(range(tries)):
            try:
                return _object(self._once(method, url, body), url)
            except urllib.error.HTTPError as error:
                with error:
                    if error.code < _SERVER_ERROR or not left:
                        raise self._refused(error, url) from error
                    asked = error.headers.get("Retry-After", "")
            except (OSError, HTTPException) as error:
                if not left:
                    raise _unreachable(self.base, error) from error
                asked = ""
            self.pause(_wait(asked, tries - left))
        raise AssertionError("unreachable")  # the last try returned or raised

    def _once(self, method: str, url: str, body: bytes | None) -> bytes:
        headers = {
            "Accept": "application/vnd.github+json",
            "X-GitHub-Api-Version": "2022-11-28",
            "User-Agent": "evo-agent",
        }
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        if body is not None:
            headers["Content-Type"] = "application/json"
        request = urllib.request.Request(url, body, headers, method=method)  # noqa: S310 of() checked
        opener = urllib.request.build_opener(_Redirects)
        with opener.open(request, timeout=TIMEOUT) as answer:
            return bytes(answer.read(MAX_ANSWER + 1))

    def _refused(self, error: urllib.error.HTTPError, url: str) -> GitHubError:
        said = _message(error)
        if error.code == _TOO_MANY or error.headers.get("X-RateLimit-Remaining") == "0":
            reset = error.headers.get("X-RateLimit-Reset", "")
            when = f" until {_clock(int(reset))}" if reset.isdecimal() else ""
            remedy = "wait" if self.token else "set GITHUB_TOKEN for a higher limit, or wait"
            return GitHubError(f"GitHub's rate limit is used up{when}", remedy)
        if error.code == 404:  # noqa: PLR2004
            return GitHubError(
                f"GitHub knows no {url}" + ("" if self.token else " (or it is private)"),
                "check the number" + ("" if self.token else ", or set GITHUB_TOKEN"),
            )
        if error.code in (401, 403):
            return GitHubError(
                f"GitHub refuses ({error.code}{said})", "set a GITHUB_TOKEN that may do this"
            )
        if error.code == 410:  # noqa: PLR2004
            return GitHubError(f"{url} was deleted", "give the issue as text or as a file")
        return GitHubError(
            f"GitHub answers {error.code}{said} for {url}", "try again, or give the issue as text"
        )


def _object(answer: bytes, url: str) -> dict[str, Any]:
    if len(answer) > MAX_ANSWER:
        raise GitHubError(f"{url} answers more than {MAX_ANSWER >> 20} MB", "check GITHUB_API_URL")
    try:
        found = json.loads(answer)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise GitHubError(f"{url} does not answer with a JSON object", "check GITHUB_API_URL")
    return found


def _message(error: urllib.error.HTTPError) -> str:
    try:
        said = json.loads(error.read(64 * 1024))["message"]
    except (OSError, HTTPException, ValueError, KeyError, TypeError):
        return ""
    return f": {' '.join(str(said).split()):.120}"


def _unreachable(base: str, error: Exception) -> GitHubError:
    why = getattr(error, "reason", error)
    return GitHubError(
        f"{base} cannot be reached: {' '.join(str(why).split()):.120}",
        "check the network and GITHUB_API_URL, or give the issue as text",
    )


def _wait(asked: str, tried: int) -> float:
    return min(float(asked) if asked.isdecimal() else 0.5 * 2**tried, LONGEST_WAIT)


def _clock(seconds: int) -> str:
    return time.strftime("%H:%M UTC", time.gmtime(seconds))


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc
