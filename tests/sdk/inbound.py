"""The official libraries of other platforms: what they sign we take, and what our test platforms sign they take."""

# requires: stripe==16.1.0 twilio==9.13.0 sendgrid==6.12.5 slack_sdk==3.47.0 standardwebhooks==1.1.0 gidgethub==6.0.0

import datetime
import hashlib
import hmac
import json
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

import standardwebhooks
import stripe
from gidgethub import sansio
from sendgrid.helpers.eventwebhook import EventWebhook
from slack_sdk.signature import SignatureVerifier
from twilio.request_validator import RequestValidator

platforms = {one["kind"]: one for one in json.load(open(sys.argv[1]))}


def fields(body):
    return dict(urllib.parse.parse_qsl(body))


def twilio(one, body):
    validator = RequestValidator(one["secret"])
    return validator.validate(one["url"], fields(body), one["headers"]["x-twilio-signature"])


def sendgrid(one, body):
    verifier, headers = EventWebhook(), one["headers"]
    return verifier.verify_signature(
        body,
        headers["x-twilio-email-event-webhook-signature"],
        headers["x-twilio-email-event-webhook-timestamp"],
        verifier.convert_public_key_to_ecdsa(one["secret"]),
    )


# The official verifiers: true, or nothing raised, for what is genuine.
verifiers = {
    "stripe": lambda one, body: stripe.Webhook.construct_event(
        body, one["headers"]["stripe-signature"], one["secret"]
    ),
    "github": lambda one, body: sansio.validate_event(
        body.encode(), signature=one["headers"]["x-hub-signature-256"], secret=one["secret"]
    )
    or True,
    "slack": lambda one, body: SignatureVerifier(one["secret"]).is_valid_request(body, one["headers"]),
    "twilio": twilio,
    "sendgrid": sendgrid,
    "standard_webhooks": lambda one, body: standardwebhooks.Webhook(one["secret"]).verify(body, one["headers"]),
}


def takes(verify, one, body):
    try:
        return bool(verify(one, body))
    except Exception:
        return False


def post(one, headers, body):
    headers = {"content-type": "application/json", **headers}
    request = urllib.request.Request(one["url"], body.encode(), headers, method="POST")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        return opener.open(request).status
    except urllib.error.HTTPError as error:
        return error.code


for kind, one in platforms.items():
    altered = one["body"].replace("id_1", "id_2") if "id_1" in one["body"] else one["body"] + " "
    assert post(one, one["headers"], one["body"]) == 200, kind
    assert post(one, one["headers"], altered) == 401, kind
    if kind in verifiers:
        assert takes(verifiers[kind], one, one["body"]), kind
        assert not takes(verifiers[kind], one, altered), kind


# What the official signers make.
now = int(time.time())


def by_stripe(one, body):
    signature = stripe.WebhookSignature._compute_signature(f"{now}.{body}", one["secret"])
    return {"stripe-signature": f"t={now},v1={signature}"}


def by_slack(one, body):
    signature = SignatureVerifier(one["secret"]).generate_signature(timestamp=str(now), body=body)
    return {"x-slack-signature": signature, "x-slack-request-timestamp": str(now)}


def by_twilio(one, body):
    signature = RequestValidator(one["secret"]).compute_signature(one["url"], fields(body))
    return {"x-twilio-signature": signature, "content-type": "application/x-www-form-urlencoded"}


def by_standard_webhooks(one, body):
    at = datetime.datetime.fromtimestamp(now, datetime.timezone.utc)
    signature = standardwebhooks.Webhook(one["secret"]).sign("msg_1", at, body)
    return {"webhook-id": "msg_1", "webhook-timestamp": str(now), "webhook-signature": signature}


def by_hand(one, body):
    """As docs/inbound.md shows it."""
    digest = hmac.new(one["secret"].encode(), f"{now}.{body}".encode(), hashlib.sha256).hexdigest()
    return {"x-genmux-timestamp": str(now), "x-genmux-signature": f"sha256={digest}"}


for kind, signer, body in [
    ("stripe", by_stripe, '{"id": "evt_1", "object": "event", "type": "charge.failed"}'),
    ("slack", by_slack, '{"type": "event_callback", "event_id": "Ev1", "event": {"type": "app_mention"}}'),
    ("twilio", by_twilio, "MessageSid=SM1&MessageStatus=delivered&To=%2B15550100&Body=a+%26+b"),
    ("standard_webhooks", by_standard_webhooks, '{"type": "a.b", "data": {"text": "\u00e9"}}'),
    ("hmac", by_hand, '{"id": "1", "type": "paid"}'),
]:
    one = platforms[kind]
    assert post(one, signer(one, body), body) == 200, kind
    assert post(one, signer(one, body), body.replace("1", "2", 1) + " ") == 401, kind
    assert post(one, signer({**one, "secret": "whsec_" + "A" * 43 + "="}, body), body) == 401, kind
