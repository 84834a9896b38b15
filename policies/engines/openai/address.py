"""Address: where a server is, with which key it is asked, and through which proxy.

A key stays in its environment variable: it is read when a request is made, and never stored,
printed or hashed.
"""

import ipaddress
import os
import re
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit
from urllib.request import getproxies, proxy_bypass

from valueagents.errors import ConfigError

DEFAULT_KEY = "OPENAI_API_KEY"

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SHORTEST_KEY = 8
"""Shorter ones ("EMPTY", "x") are placeholders of local servers, and may be words of an answer."""


@dataclass(frozen=True, slots=True)
class Address:
    """`api` is what the user wrote (…/v1), `root` the same without /v1: vLLM's additions to the
    standard are there.
    """

    api: str
    root: str
    key_env: str
    insecure: bool

    def headers(self) -> dict[str, str]:
        """The headers of a request. Raises ConfigError if the key would cross a network
        unencrypted.

        No compression is asked for: what a few compressed bytes become is not known before it fills
        the memory.
        """
        headers = {
            "Content-Type": "application/json",
            "Accept": "application/json",
            "Accept-Encoding": "identity",
        }
        key = self._key()
        if not key:
            return headers
        if not (key.isascii() and key.isprintable()):
            raise ConfigError(
                f"the key in ${self.key_env} holds characters that no header can; set it again"
            )
        parts = urlsplit(self.api)
        if parts.scheme == "http" and not _is_loopback(parts.hostname or "") and not self.insecure:
            raise ConfigError(
                f"{self.root} is not encrypted and not on this machine: the key in ${self.key_env}"
                f" could be read on the way; use https, unset ${self.key_env}, or say insecure=true"
            )
        return {**headers, "Authorization": f"Bearer {key}"}

    def proxy(self) -> str | None:
        """The proxy that the environment names for this server (HTTP_PROXY, HTTPS_PROXY, ALL_PROXY,
        NO_PROXY).

        None for a server on this machine, which no proxy reaches. Raises ConfigError for one that
        does not speak HTTP.
        """
        parts = urlsplit(self.api)
        host = parts.hostname or ""
        if _is_loopback(host) or proxy_bypass(host):
            return None
        known = getproxies()
        found = known.get(parts.scheme) or known.get("all")
        if not found:
            return None
        scheme, separator, _ = found.partition("://")
        if separator and scheme not in ("http", "https"):
            raise ConfigError(
                f"the environment names a {scheme} proxy for {host}; use an http proxy, or set"
                " NO_PROXY"
            )
        return found if separator else f"http://{found}"

    def without_key(self, text: str) -> str:
        """A server's text, with the key taken out if it repeats it."""
        key = self._key()
        return text.replace(key, "***") if key else text

    def body_without_key(self, body: bytes) -> bytes:
        """The body of an answer, with the key taken out if it repeats it."""
        key = self._key().encode()
        return body.replace(key, b"***") if len(key) >= _SHORTEST_KEY else body

    def _key(self) -> str:
        return os.environ.get(self.key_env, "").strip()


def read_address(url: str, *, key_env: str, insecure: bool) -> Address:
    """The address in a URL; /v1 is added where the URL has no path.

    Raises ConfigError if it is none, or `key_env` is not the name of a variable; what may be a
    secret is not repeated.
    """
    _require_variable(key_env)
    try:
        parts = urlsplit(url)
        secret = "@" in parts.netloc
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        shown = "the URL" if "@" in url else repr(url)
        raise ConfigError(
            f"{shown} cannot be read ({error}); give something like http://127.0.0.1:8000/v1"
        ) from None
    if secret:
        raise ConfigError(
            f"the URL of {host} holds a user name or password; put the key into ${key_env} instead"
        )
    if parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment:
        raise ConfigError(
            f"{url!r} is not a server's URL; give something like http://127.0.0.1:8000/v1"
        )
    path = parts.path.rstrip("/") or "/v1"
    api = urlunsplit((parts.scheme, parts.netloc, path, "", ""))
    return Address(api, api.removesuffix("/v1"), key_env, insecure)


def _require_variable(name: str) -> None:
    """Raise ConfigError if this is not the name of a variable that is set; a key in its place looks
    like one, too.
    """
    if name == DEFAULT_KEY or (_VARIABLE.fullmatch(name) and name in os.environ):
        return
    raise ConfigError(
        "api_key_env is not the name of an environment variable that is set; give the name of the"
        " variable, never the key itself: export MY_KEY=…, then api_key_env=MY_KEY"
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
