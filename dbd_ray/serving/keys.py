"""API keys from a file or from the environment, compared in constant time."""

import hashlib
import hmac
import os
from collections.abc import Mapping
from pathlib import Path

from dbd_ray.config.serve import KEYS_VARIABLE
from dbd_ray.errors import ConfigError
from dbd_ray.serving.refusals import Refusal

_SHORTEST = 16  # characters; what is shorter can be guessed


class ApiKeys:
    """The keys that are let in; without any, every request is.

    Args:
        keys: Keys as clients send them; only their hashes are kept.
    """

    def __init__(self, keys: list[str]) -> None:
        self._hashes = [_hash(key) for key in keys]

    def __bool__(self) -> bool:
        return bool(self._hashes)

    def check(self, headers: Mapping[str, str]) -> None:
        """Check the key of a request, in `Authorization: Bearer …` or `X-API-Key`.

        Raises:
            Refusal: There is no key, or a wrong one.
        """
        if not self._hashes:
            return
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        given = bearer.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "")
        # every key is compared, so that the time says nothing of which one was near
        matches = [hmac.compare_digest(_hash(given), one) for one in self._hashes]
        if not given or not any(matches):
            raise Refusal("unauthorized", "this server wants an API key: send it in `Authorization: Bearer KEY`")


def load_keys(keys_file: str | None) -> ApiKeys:
    """Read the API keys.

    Args:
        keys_file: File with one key per line; None: the environment variable DBD_RAY_API_KEYS, where commas separate
            them.

    Raises:
        ConfigError: The file cannot be read or holds no key, or a key is too short.
    """
    if keys_file is not None:
        try:
            lines = Path(keys_file).read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"keys_file={keys_file}: cannot be read ({error})") from None
        keys = [line for line in map(str.strip, lines) if line and not line.startswith("#")]
        if not keys:
            # else a file that was emptied by mistake would let everybody in
            raise ConfigError(f"keys_file={keys_file}: holds no key; write one per line, or remove the setting")
    else:
        keys = [key.strip() for key in os.environ.get(KEYS_VARIABLE, "").split(",") if key.strip()]
        if not keys and KEYS_VARIABLE in os.environ:
            raise ConfigError(f"{KEYS_VARIABLE} is set and holds no key: unset it to let everybody in")
    short = [number for number, key in enumerate(keys, 1) if len(key) < _SHORTEST]
    if short:
        where = keys_file or KEYS_VARIABLE
        raise ConfigError(f"{where}: key {short[0]} has fewer than {_SHORTEST} characters, which can be guessed")
    if not all(key.isascii() for key in keys):
        raise ConfigError(f"{keys_file or KEYS_VARIABLE}: keys travel in a header: use ASCII characters only")
    return ApiKeys(keys)


def _hash(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
