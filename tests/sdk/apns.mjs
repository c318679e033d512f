// A client of Apple's push service for Node against its simulator.
// requires: apns2@12.2.0

import http2 from "node:http2";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import assert from "node:assert";

import { ApnsClient, Errors, Notification } from "apns2";
import { Pool } from "undici";

const [base, account] = process.argv.slice(2);
const { APNS_KEY, APNS_KEY_ID, APNS_TEAM_ID, APNS_TOPIC } = JSON.parse(account);

// The client speaks TLS, and the simulator does not: what stands between them adds nothing else.
const folder = mkdtempSync(join(tmpdir(), "apns-"));
const [key, cert] = ["key.pem", "cert.pem"].map((name) => join(folder, name));
execFileSync("openssl", ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert, "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"], { stdio: "ignore" });
const inside = http2.connect(base);
const server = http2.createSecureServer({ key: readFileSync(key), cert: readFileSync(cert) });
server.on("stream", (stream, headers) => {
  const { ":authority": _, ":scheme": __, ...rest } = headers;
  const call = inside.request(rest);
  call.on("response", ({ ":status": status, ...more }) => stream.respond({ ":status": status, ...more }));
  stream.pipe(call);
  call.pipe(stream);
});
await new Promise((done) => server.listen(0, "127.0.0.1", done));
const port = server.address().port;

const DEVICE = "4f1c9a0e".repeat(8);
const client = (more) => {
  const made = new ApnsClient({ team: APNS_TEAM_ID, keyId: APNS_KEY_ID, signingKey: APNS_KEY, defaultTopic: APNS_TOPIC, keepAlive: false, ...more });
  // It takes another host, and not another port.
  made.client = new Pool(`https://localhost:${port}`, { allowH2: true, connect: { ca: readFileSync(cert) } });
  return made;
};
const ours = client({});
const refused = async (reason, sending) => {
  const error = await sending.then(() => null, (error) => error);
  assert.equal(error?.reason, reason);
};
const to = (device, options) => new Notification(device, { alert: { title: "Genmux", body: "hello" }, collapseId: "evt_1", ...options });

await ours.send(to(DEVICE));
await refused(Errors.unregistered, ours.send(to("00" + DEVICE.slice(2))));
await refused(Errors.deviceTokenNotForTopic, ours.send(to("11" + DEVICE.slice(2))));
await refused(Errors.badDeviceToken, ours.send(to("xyz")));
await refused("BadCollapseId", ours.send(to(DEVICE, { collapseId: "x".repeat(65) })));
await refused(Errors.topicDisallowed, client({ defaultTopic: "other.app" }).send(to(DEVICE)));
await refused(Errors.invalidProviderToken, client({ team: "OTHER" }).send(to(DEVICE)));
process.exit(0);
