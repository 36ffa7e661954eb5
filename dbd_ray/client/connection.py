"""The arguments of both clients, checked, and the HTTP library's own client made of them."""

import math
import os
import re
import ssl
from functools import partial
from numbers import Real
from typing import Any, Generic, TypeVar
from urllib.request import getproxies, proxy_bypass

import httpx2

from dbd_ray.client.answers import FocusRequestError
from dbd_ray.client.reading import retry_policy
from dbd_ray.errors import ConfigError

Http = TypeVar("Http", httpx2.Client, httpx2.AsyncClient)
LONGEST_WAIT_S = 1e6  # some more and sockets raise errors of their own
_CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR")


class Connection(Generic[Http]):
    """What both clients hold, and how they get into other processes; the arguments are `FocusClient`'s."""

    _kind: type[Any]  # httpx2.Client or httpx2.AsyncClient

    def __init__(
        self,
        base_url: str,
        *,
        api_key: str | None = None,
        timeout_s: float = 130.0,
        attempts: int = 5,
        backoff_s: float = 0.5,
    ) -> None:
        self.base_url = address(base_url)
        check_patience(timeout_s=timeout_s, attempts=attempts, backoff_s=backoff_s)
        self._http: Http = open_http(self._kind, self.base_url, api_key=api_key, timeout_s=timeout_s)
        # connections stay in this process: the other one gets a client of its own, with the same arguments
        self._arguments: dict[str, Any] = {
            "api_key": api_key,
            "timeout_s": timeout_s,
            "attempts": attempts,
            "backoff_s": backoff_s,
        }
        self._policy = retry_policy(attempts, backoff_s)

    def _require_open(self) -> None:
        if self._http.is_closed:
            raise ConfigError("this client was closed: make another one, or ask inside of its `with` block")

    def __reduce__(self) -> tuple[Any, ...]:
        return (partial(type(self), **self._arguments), (self.base_url,))


def address(base_url: str) -> str:
    """Check the endpoint's address, and remove a slash at its end.

    Raises:
        ConfigError: `base_url` is not an address.
    """
    if not isinstance(base_url, str):
        raise ConfigError(f"base_url: give a text such as http://127.0.0.1:8000, not {type(base_url).__name__}")
    if not base_url.lower().startswith(("http://", "https://")):
        raise ConfigError(f"base_url {base_url}: begin it with http:// or https://")
    try:
        parsed = httpx2.URL(base_url)
    except (httpx2.InvalidURL, UnicodeError) as error:
        raise ConfigError(f"base_url {base_url}: is no address ({error}); correct it") from None
    if re.search(r"[\s%]", parsed.host) or (parsed.port or 0) > 65535:
        raise ConfigError(f"base_url {base_url}: is no address (host or port); write it as http://HOST:PORT")
    if not parsed.host:
        raise ConfigError(f"base_url {base_url}: has no host; write it as http://HOST:PORT")
    if parsed.query or parsed.fragment:
        raise ConfigError(f"base_url {base_url}: leave out what begins with ? or #")
    return base_url.rstrip("/")


def key_header(api_key: str | None) -> dict[str, str]:
    """Make the header that carries a key, without the line end of a key's file.

    Raises:
        ConfigError: It is no text.
        FocusRequestError: No header can carry it; the message does not show it.
    """
    if api_key is None or api_key == "":
        return {}
    if not isinstance(api_key, str):
        raise ConfigError(f"api_key: give a text, not {type(api_key).__name__}")
    key = api_key.strip()
    if not key or not all(" " <= letter <= "~" for letter in key):
        # as the endpoint's own refusal of a key, for which programs are prepared
        message = "api_key: give one key of printable ASCII characters, without line breaks inside"
        raise FocusRequestError("unauthorized", message)
    return {"authorization": f"Bearer {key}"}


def check_patience(*, timeout_s: float, attempts: int, backoff_s: float) -> None:
    """Check how long and how often a client tries.

    Raises:
        ConfigError: One is no number, or out of range.
    """
    for name, value, positive in (("timeout_s", timeout_s, True), ("backoff_s", backoff_s, False)):
        if not isinstance(value, Real) or isinstance(value, bool) or not math.isfinite(value):
            raise ConfigError(f"{name}: give a number of seconds, not {value!r}")
        if value < 0 or (positive and value == 0):
            raise ConfigError(f"{name}={value:g}: give {'more than 0' if positive else '0 or more'} seconds")
        if value > LONGEST_WAIT_S:
            raise ConfigError(f"{name}={value:g}: give at most {LONGEST_WAIT_S:,.0f} seconds")
    if not isinstance(attempts, int) or isinstance(attempts, bool) or attempts < 1:
        raise ConfigError(f"attempts: give a whole number from 1, not {attempts!r}")


def open_http(kind: type[Http], base_url: str, *, api_key: str | None, timeout_s: float) -> Http:
    """Make the HTTP library's client for one endpoint; nothing is sent yet.

    Args:
        kind: httpx2.Client or httpx2.AsyncClient.
        base_url: Address of the endpoint, from `address`.
        api_key: One of the endpoint's keys.
        timeout_s: Longest silence of one attempt, s.

    Raises:
        ConfigError: What the environment says of proxies and certificates cannot be used, or the key is no text.
        FocusRequestError: No header can carry the key.
    """
    settings: dict[str, Any] = {"headers": key_header(api_key), "timeout": float(timeout_s)}
    try:
        return kind(**settings)
    except (ssl.SSLError, OSError) as error:
        raise _certificates(error) from None
    except (ImportError, ValueError, httpx2.InvalidURL):
        pass  # a proxy that the environment names: not this endpoint's, perhaps
    proxy = _proxy_of(base_url)
    if proxy is None:
        transport: Any = httpx2.HTTPTransport() if issubclass(kind, httpx2.Client) else httpx2.AsyncHTTPTransport()
        return kind(transport=transport, **settings)
    variable, value = proxy
    try:
        return kind(proxy=value, **settings)
    except ImportError:
        what = "a SOCKS proxy needs a package, pip install socksio"
    except (ValueError, httpx2.InvalidURL) as error:
        what = f"is no address of a proxy ({error}), write it as http://HOST:PORT"
    raise ConfigError(f"{variable}={value}: {what}; or name the endpoint's host in NO_PROXY")


def _proxy_of(base_url: str) -> tuple[str, str] | None:
    url = httpx2.URL(base_url)
    if proxy_bypass(url.host):
        return None
    proxies = getproxies()
    name = next((one for one in (url.scheme, "all") if proxies.get(one)), None)
    return None if name is None else (f"{name.upper()}_PROXY", proxies[name])


def _certificates(error: OSError) -> ConfigError:
    given = [f"{name}={os.environ[name]}" for name in _CERTIFICATES if os.environ.get(name)]
    return ConfigError(
        f"{', '.join(given) or 'the certificates of this machine'}: cannot be read ({error.strerror or error}); "
        f"correct {' or '.join(_CERTIFICATES)}, or unset it"
    )
