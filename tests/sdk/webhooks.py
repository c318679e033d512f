"""The official verifiers of Standard Webhooks, Svix and OpenAI against what `deliver` sends."""

# requires: standardwebhooks==1.1.0 svix==2.9.1 openai==3.51.0

import json
import sys

import openai
import standardwebhooks
import svix

secret, deliveries = sys.argv[1], json.load(open(sys.argv[2]))
assert len(deliveries) >= 2, deliveries
client = openai.OpenAI(api_key="unused", webhook_secret=secret)


def verifiers(key):
    yield lambda body, headers: standardwebhooks.Webhook(key).verify(body, headers)
    yield lambda body, headers: svix.Webhook(key).verify(body, headers)
    yield lambda body, headers: client.webhooks.verify_signature(body, headers, secret=key)


def refuses(verify, body, headers):
    try:
        verify(body, headers)
    except Exception:
        return
    raise AssertionError("an altered event was taken")


for delivery in deliveries:
    body, headers = delivery["body"], delivery["headers"]
    other = "whsec_" + "A" * 43 + "="
    for right, wrong in zip(verifiers(secret), verifiers(other), strict=True):
        right(body, headers)
        refuses(wrong, body, headers)
        refuses(right, body.replace("job", "jab", 1), headers)
        for name, value in [
            ("webhook-id", headers["webhook-id"] + "x"),
            ("webhook-timestamp", str(int(headers["webhook-timestamp"]) + 1)),
            ("webhook-timestamp", str(int(headers["webhook-timestamp"]) - 1000)),
            ("webhook-signature", headers["webhook-signature"].replace("v1,", "v1,A", 1)),
        ]:
            refuses(right, body, {**headers, name: value})
