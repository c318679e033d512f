"""Verifies events: Standard Webhooks 1.0.0."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
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
    that you have seen.
    """
    given = {name.lower(): value for name, value in headers.items()}
    event_id, timestamp = given.get("webhook-id", ""), given.get("webhook-timestamp", "")
    if not event_id or not timestamp.isdecimal():
        raise SignatureError("webhook-id or webhook-timestamp is missing")
    if abs((time.time() if now is None else now) - int(timestamp)) > TOLERANCE_S:
        raise SignatureError("the event was signed too long ago")
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{event_id}.{timestamp}.".encode() + body
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    for signature in given.get("webhook-signature", "").split():
        version, _, value = signature.partition(",")
        if version == "v1" and hmac.compare_digest(value.encode(), expected.encode()):
            return json.loads(body)
    raise SignatureError("no signature fits")
