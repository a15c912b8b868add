"""JSON text of messages: whatever a user's object holds, the text can be made and sent."""

from __future__ import annotations

import base64
import json
import math
import numbers
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias, cast

Json: TypeAlias = Any


def _json_value(value: Any) -> Json:
    """Convert a value that the json module does not know."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return base64.b64encode(cast("bytes", value)).decode("ascii")
    if isinstance(value, (set, frozenset)):
        return list(cast("set[Any]", value))
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return float(value)
    isoformat = getattr(value, "isoformat", None)
    return isoformat() if callable(isoformat) else str(value)


def _finite(value: Any) -> Json:
    """Replace what JSON cannot express: non-finite floats and keys that are not strings."""
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    if isinstance(value, Mapping):
        fields = cast("Mapping[Any, Any]", value)
        return {str(key): _finite(item) for key, item in fields.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_finite(item) for item in cast("Iterable[Any]", value)]
    return value


def to_json(value: Any) -> str:
    """Return JSON text for a message; every string in it can be encoded as UTF-8."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, default=_json_value)
    except (TypeError, ValueError):
        text = json.dumps(_finite(value), ensure_ascii=False, default=_json_value)
    return encodable(text)


def encodable(text: str) -> str:
    """Replace lone surrogates, which have no UTF-8 form."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode("utf-8")
    return text
