// The official verifiers of Standard Webhooks and Svix for JavaScript against what `deliver` sends,
// and Node's own Ed25519 for `v1a`.
//
// requires: standardwebhooks@1.1.1 svix@2.5.0

import assert from "node:assert/strict";
import { createPublicKey, verify } from "node:crypto";
import { readFileSync } from "node:fs";

import * as standardwebhooks from "standardwebhooks";
import * as svix from "svix";

const [secret, file, publicKey] = process.argv.slice(2);
const deliveries = JSON.parse(readFileSync(file, "utf8"));
assert.ok(deliveries.length >= 2);

const other = `whsec_${"A".repeat(43)}=`;
for (const { body, headers } of deliveries) {
    for (const { Webhook } of [standardwebhooks, svix]) {
        const webhook = new Webhook(secret);
        webhook.verify(body, headers);
        assert.throws(() => new Webhook(other).verify(body, headers));
        assert.throws(() => webhook.verify(body.replace("job", "jab"), headers));
        const late = { ...headers, "webhook-timestamp": String(Number(headers["webhook-timestamp"]) - 1000) };
        assert.throws(() => webhook.verify(body, late));
    }
    const v1a = headers["webhook-signature"].split(" ").find((entry) => entry.startsWith("v1a,"));
    const prefix = Buffer.from("302a300506032b6570032100", "hex");
    const der = Buffer.concat([prefix, Buffer.from(publicKey.slice("whpk_".length), "base64")]);
    const key = createPublicKey({ key: der, format: "der", type: "spki" });
    const text = `${headers["webhook-id"]}.${headers["webhook-timestamp"]}.${body}`;
    const signature = Buffer.from(v1a.slice("v1a,".length), "base64");
    assert.ok(verify(null, Buffer.from(text), key, signature));
    assert.ok(!verify(null, Buffer.from(`${text} `), key, signature));
}
