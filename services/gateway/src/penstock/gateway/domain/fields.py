"""Bodies as structs; msgspec's complaints become errors of the API, which name the parameter at fault."""

import re
from typing import TypeVar

import msgspec

from penstock.gateway.domain.errors import ApiError, invalid, malformed

_PATH = re.compile(r" - at `\$\.?(?P<path>.*)`$")
_QUOTED = re.compile(r"field `(?P<name>.*)`")
T = TypeVar("T")


def decoded(body: bytes, decoder: "msgspec.json.Decoder[T]") -> T:
    """Return what a body says. Raises ApiError 400."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise invalid_field(str(error)) from None
    except UnicodeDecodeError as error:
        raise malformed(f"The body is not valid JSON in UTF-8: {error.reason}.") from None
    except msgspec.DecodeError as error:
        raise malformed(f"The body is not valid JSON in UTF-8: {error}.") from None
    except RecursionError:
        raise malformed("The body is nested too deeply.") from None


def invalid_field(text: str, inside: str = "") -> ApiError:
    """Return the error for a ValidationError's text; `inside` names what was read, if not the whole body."""
    path = _PATH.search(text)
    param = _joined(inside, path["path"] if path else "") or None
    message = _PATH.sub("", text)
    named = _QUOTED.search(message)
    if named and "unknown field" in message:
        name = _joined(param or "", named["name"])
        return invalid(name, f"Unknown parameter: '{name[:64]}'.", "unknown_parameter")
    if named:
        missing = _joined(param or "", named["name"])
        return invalid(missing, f"Missing required parameter: '{missing}'.", "missing_required_parameter")
    return invalid(param, f"Invalid value for '{param or 'body'}': {_lower(message)}.")


def _joined(outer: str, inner: str) -> str:
    return f"{outer}.{inner}" if outer and inner else outer or inner


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:].replace("`", "'")
