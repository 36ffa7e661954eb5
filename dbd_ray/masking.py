"""Masking of secrets in texts that people see: messages, logs, reports, cards, and what is tracked."""

import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

MASK = "***"
SHORTEST = 8  # characters; a shorter value of a variable would be found inside ordinary words

# what a variable's name ends with whose value is a secret, and not the path of a file that holds one
_SECRET_VARIABLES = ("PASSWORD", "PASSWD", "TOKEN", "SECRET", "SECRET_ACCESS_KEY", "API_KEY", "API_KEYS", "ACCOUNT_KEY")
# a password may hold @, / and spaces, which it should not: up to the last @. Digits before a / are a port, [ begins an
# IPv6 address
_PASSWORD = re.compile(r"""(?P<before>\w[\w+.-]*:/{1,2}[^\s/?#:@\['"]*:)(?!\d+(?:[/?#\s,;:)]|$))[^\n'"<>]*(?=@)""")
# other schemes have names there: abfss://CONTAINER@ACCOUNT
_USER_ALONE = re.compile(r"""(?P<before>(?:https?|ftps?):/{1,2})[^\s/?#:@\['"<>]+(?=@)""", re.IGNORECASE)
_QUERY = re.compile(
    r"""(?P<before>[?&;][\w.%-]*(?:passw|pwd|token|secret|key|sig|credential|auth)[\w.%-]*=)[^\s&;#'"<>]+""",
    re.IGNORECASE,
)
# in variables, where nothing else can follow: of a proxy without a scheme, with quotes or spaces
_PASSWORD_OF_PROXY = re.compile(r"^(?:[\w+.-]+://)?[^:/@]*:(?P<password>.+)@", re.DOTALL)
_BEARER = re.compile(r"(?P<before>\bBearer )[\w.~+/=-]{8,}")


def masked(text: str) -> str:
    """Replace the secrets in a text by `***`.

    These are passwords in URIs, tokens that stand there as users, values of a query's parameters that are named like a
    secret, bearer tokens, and wherever they stand the values of environment variables that are named like one.

    Args:
        text: Any text, for instance another library's error message.
    """
    for pattern in (_PASSWORD, _USER_ALONE, _QUERY, _BEARER):
        text = pattern.sub(rf"\g<before>{MASK}", text)
    for secret in _secrets_of_environment():
        text = text.replace(secret, MASK)
    for password in _passwords_of_proxies():
        text = text.replace(f":{password}@", f":{MASK}@")
    return text


def masked_values(values: Any) -> Any:
    """Mask every text in nested mappings, lists and tuples; other values stay as they are."""
    if isinstance(values, str):
        return masked(values)
    if isinstance(values, Mapping):
        return {name: masked_values(value) for name, value in values.items()}
    if isinstance(values, list | tuple):
        return [masked_values(value) for value in values]
    return values


def clean_cause(error: BaseException) -> BaseException | None:
    """Give an error as the cause of another one; None where its message, or one behind it, holds a secret.

    A traceback prints the messages of all causes as they are.
    """
    seen: set[int] = set()
    behind: BaseException | None = error
    while behind is not None and id(behind) not in seen:
        seen.add(id(behind))
        if masked(str(behind)) != str(behind) or masked(repr(behind)) != repr(behind):
            return None
        behind = behind.__cause__ or (None if behind.__suppress_context__ else behind.__context__)
    return error


def _secrets_of_environment() -> Iterator[str]:
    for name in os.environ:
        if name.upper().endswith(_SECRET_VARIABLES):
            value = os.environ.get(name, "")
            # several keys are separated by commas, and each is one
            found = {one.strip() for one in (value, *value.split(","))}
            yield from sorted((one for one in found if len(one) >= SHORTEST), key=len, reverse=True)


def _passwords_of_proxies() -> Iterator[str]:
    for name in os.environ:
        if name.upper().endswith("_PROXY") and (proxy := _PASSWORD_OF_PROXY.match(os.environ.get(name, ""))):
            yield proxy["password"]
