"""Address: where an OpenAI-compatible server is, and the key that may be sent there.

The key stays in its environment variable: it is read when a request is made, and never stored, printed or hashed.
"""

import ipaddress
import os
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

from valueagents.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Address:
    """`api` is what the user wrote (…/v1), `root` the same without /v1: what vLLM adds to the standard stands there."""

    api: str
    root: str
    key_env: str
    insecure: bool

    def headers(self) -> dict[str, str]:
        """The headers of a request. Raises ConfigError if the key would cross a network unencrypted."""
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        key = self._key()
        if not key:
            return headers
        if not (key.isascii() and key.isprintable()):
            raise ConfigError(f"the key in ${self.key_env} holds characters that no header can; set it again")
        parts = urlsplit(self.api)
        if parts.scheme == "http" and not _is_loopback(parts.hostname or "") and not self.insecure:
            raise ConfigError(
                f"{self.root} is not encrypted and not on this machine: the key in ${self.key_env} could be read on "
                f"the way; use https, unset ${self.key_env}, or say insecure=true"
            )
        return {**headers, "Authorization": f"Bearer {key}"}

    def without_key(self, text: str) -> str:
        """A server's text, with the key taken out if it repeats it."""
        key = self._key()
        return text.replace(key, "***") if key else text

    def _key(self) -> str:
        return os.environ.get(self.key_env, "").strip()


def read_address(url: str, *, key_env: str, insecure: bool) -> Address:
    """The address in a URL; /v1 is added where the URL has no path. Raises ConfigError if it is none."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigError(f"{url!r} is no URL ({error}); give something like http://127.0.0.1:8000/v1") from None
    if parts.username is not None or parts.password is not None:
        raise ConfigError(f"the URL of {host} holds a user name or password; put the key into ${key_env} instead")
    if parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment:
        raise ConfigError(f"{url!r} is no server's URL; give something like http://127.0.0.1:8000/v1")
    path = parts.path.rstrip("/") or "/v1"
    api = urlunsplit((parts.scheme, parts.netloc, path, "", ""))
    return Address(api, api.removesuffix("/v1"), key_env, insecure)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
