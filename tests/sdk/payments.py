"""Stripe's official client against its simulator, and its verifier against the simulator's webhooks."""

# requires: stripe==16.1.0

import json
import sys

import stripe

BASE = sys.argv[1]
with open(sys.argv[2]) as file:
    ours = json.load(file)

client = stripe.StripeClient("sk_test_simulated", base_addresses={"api": BASE}, max_network_retries=2)
item = {
    "price_data": {"currency": "usd", "unit_amount": 2500, "product_data": {"name": "2500 credits"}},
    "quantity": 1,
}
wanted = {
    "mode": "payment",
    "line_items": [item],
    "client_reference_id": "top_sdk",
    "payment_intent_data": {"metadata": {"topup": "top_sdk"}},
    "success_url": "https://shop.example/back",
}
made = client.v1.checkout.sessions.create(params=wanted, options={"idempotency_key": "sdk-1"})
assert (made.status, made.payment_status, made.amount_total) == ("open", "unpaid", 2500), made
again = client.v1.checkout.sessions.create(params=wanted, options={"idempotency_key": "sdk-1"})
assert again.id == made.id, again
try:
    client.v1.checkout.sessions.create(
        params={**wanted, "client_reference_id": "top_other"}, options={"idempotency_key": "sdk-1"}
    )
    raise AssertionError("another body was taken")
except stripe.IdempotencyError:
    pass
try:
    client.v1.checkout.sessions.create(params={**wanted, "mode": "payment", "colour": "red"})
    raise AssertionError("an unknown parameter was taken")
except stripe.InvalidRequestError as error:
    assert error.code == "parameter_unknown", error
try:
    stripe.StripeClient("sk_test_wrong", base_addresses={"api": BASE}).v1.checkout.sessions.retrieve(made.id)
    raise AssertionError("a wrong key was taken")
except stripe.AuthenticationError:
    pass

# What our own flow has paid.
session = client.v1.checkout.sessions.retrieve(ours["session"], params={"expand": ["payment_intent"]})
assert (session.status, session.payment_status) == ("complete", "paid"), session
assert session.payment_intent.metadata["topup"] == session.client_reference_id, session
refund = client.v1.refunds.create(params={"payment_intent": session.payment_intent.id, "amount": 300})
assert (refund.status, refund.amount) == ("succeeded", 300), refund
listed = client.v1.refunds.list(params={"payment_intent": session.payment_intent.id})
assert [one.id for one in listed.data] == [refund.id], listed
kinds = [event.type for event in client.v1.events.list(params={"limit": 1}).auto_paging_iter()]
assert kinds == ["charge.refunded", "refund.created", "checkout.session.completed"], kinds

event = stripe.Webhook.construct_event(ours["body"], ours["signature"], "whsec_simulated")
assert (event.type, event.data.object.id) == ("checkout.session.completed", ours["session"]), event
for body, secret in [(ours["body"] + " ", "whsec_simulated"), (ours["body"], "whsec_other")]:
    try:
        stripe.Webhook.construct_event(body, ours["signature"], secret)
        raise AssertionError("a forged webhook was taken")
    except stripe.SignatureVerificationError:
        pass
