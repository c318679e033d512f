// Stripe's official client for Node against its simulator, and its verifier against the simulator's webhooks.
//
// requires: stripe@23.1.0

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";

import Stripe from "stripe";

const base = new URL(process.argv[2]);
const ours = JSON.parse(readFileSync(process.argv[3], "utf8"));
const at = { host: base.hostname, port: Number(base.port), protocol: "http", maxNetworkRetries: 2, telemetry: false };
const stripe = new Stripe("sk_test_simulated", at);

const wanted = {
  mode: "payment",
  line_items: [
    { price_data: { currency: "usd", unit_amount: 2500, product_data: { name: "2500 credits" } }, quantity: 1 },
  ],
  client_reference_id: "top_sdk",
  payment_intent_data: { metadata: { topup: "top_sdk" } },
  success_url: "https://shop.example/back",
};
const once = { idempotencyKey: "sdk-js-1" };
const made = await stripe.checkout.sessions.create(wanted, once);
assert.deepEqual([made.status, made.payment_status, made.amount_total], ["open", "unpaid", 2500]);
assert.equal((await stripe.checkout.sessions.create(wanted, once)).id, made.id);
await assert.rejects(
  stripe.checkout.sessions.create({ ...wanted, client_reference_id: "top_other" }, once),
  Stripe.errors.StripeIdempotencyError,
);
await assert.rejects(
  stripe.checkout.sessions.create({ ...wanted, colour: "red" }),
  (error) => error instanceof Stripe.errors.StripeInvalidRequestError && error.code === "parameter_unknown",
);
await assert.rejects(
  new Stripe("sk_test_wrong", at).checkout.sessions.retrieve(made.id),
  Stripe.errors.StripeAuthenticationError,
);

// What our own flow has paid.
const session = await stripe.checkout.sessions.retrieve(ours.session, { expand: ["payment_intent.latest_charge"] });
assert.deepEqual([session.status, session.payment_status], ["complete", "paid"]);
assert.equal(session.payment_intent.metadata.topup, session.client_reference_id);
assert.match(session.payment_intent.latest_charge.receipt_url, /^https:/);
const refund = await stripe.refunds.create({ payment_intent: session.payment_intent.id, amount: 300 });
assert.deepEqual([refund.status, refund.amount], ["succeeded", 300]);
const listed = await stripe.refunds.list({ payment_intent: session.payment_intent.id });
assert.deepEqual(listed.data.map((one) => one.id), [refund.id]);
const kinds = [];
for await (const event of stripe.events.list({ limit: 1 })) kinds.push(event.type);
assert.deepEqual(kinds, ["charge.refunded", "refund.created", "checkout.session.completed"]);

const event = stripe.webhooks.constructEvent(ours.body, ours.signature, "whsec_simulated");
assert.deepEqual([event.type, event.data.object.id], ["checkout.session.completed", ours.session]);
for (const [body, secret] of [[`${ours.body} `, "whsec_simulated"], [ours.body, "whsec_other"]]) {
  assert.throws(
    () => stripe.webhooks.constructEvent(body, ours.signature, secret),
    Stripe.errors.StripeSignatureVerificationError,
  );
}
