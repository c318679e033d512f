"""Verifies events: Standard Webhooks 1.0.0."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
import time
from collections.abc import Mapping
from typing import Any

# How far the clocks of sender and receiver may differ, in seconds.
TOLERANCE_S = 300


class SignatureError(Exception):
    """The event is not genuine, or too old. Answer with 400 and ignore it."""


def verify(secret: str, headers: Mapping[str, str], body: bytes, now: float | None = None) -> dict[str, Any]:
    """The event of a request, if it was signed with this secret of an endpoint (`whsec_…`).

    `body` is the raw bytes as they came. `webhook-id` is the same for all tries of one event: ignore an id
    that you have seen. A secret that is none is a `ValueError`.
    """
    key = _key(secret)
    given = {name.lower(): value for name, value in headers.items()}
    event_id, timestamp = given.get("webhook-id", ""), given.get("webhook-timestamp", "")
    if not event_id or not event_id.isascii() or not re.fullmatch("[0-9]{1,12}", timestamp):
        raise SignatureError("webhook-id or webhook-timestamp is missing or malformed")
    if abs((time.time() if now is None else now) - int(timestamp)) > TOLERANCE_S:
        raise SignatureError("the event was signed too long ago")
    signed = f"{event_id}.{timestamp}.".encode() + body
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest())
    for signature in given.get("webhook-signature", "").split():
        version, _, value = signature.partition(",")
        if version == "v1" and hmac.compare_digest(value.encode(errors="replace"), expected):
            return json.loads(body)
    raise SignatureError("no signature fits")


def _key(secret: str) -> bytes:
    """The bytes of a secret. An empty one would let everyone sign."""
    try:
        key = base64.b64decode((secret or "").removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("the secret is not one of an endpoint (`whsec_…`)") from error
    if not key:
        raise ValueError("the secret is empty")
    return key
