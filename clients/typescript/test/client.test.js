// Against a running stack: `GENMUX_API`, `GENMUX_KEY`. Run by `infra/checks/clients`.
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { test } from "node:test";

import { Client, GenmuxError, JobFailed, SignatureError, verify } from "../dist/index.js";

test("a video is made and saved", async () => {
  const genmux = new Client();
  assert.ok((await genmux.models()).some((model) => model.name === "veo-3.1-fast"));
  const job = await genmux.wait((await genmux.create({ model: "veo-3.1-fast", prompt: "a boat", duration_s: 4 })).id);
  const bytes = await genmux.download(job);
  assert.equal(new TextDecoder().decode(bytes.slice(4, 8)), "ftyp");
  const ledger = (await genmux.account()).ledger.filter((line) => line.job === job.id);
  assert.deepEqual(ledger.map((line) => [line.kind, line.micro_credits]), [["charge", job.price_micro_credits]]);
  const listed = [];
  for await (const one of genmux.list({ status: "succeeded" })) listed.push(one.id);
  assert.ok(listed.includes(job.id));
});

test("an image is uploaded", async () => {
  const head = [0x89, 0x50, 0x4e, 0x47, 13, 10, 26, 10, 0, 0, 0, 13, 0x49, 0x48, 0x44, 0x52];
  const png = new Blob([new Uint8Array([...head, 0, 0, 2, 128, 0, 0, 1, 224, 8, 2, 0, 0, 0, 1, 2, 3, 4])], { type: "image/png" });
  const genmux = new Client();
  const image = await genmux.upload(png);
  assert.deepEqual(await genmux.upload(png), image);
  const wrong = await genmux.upload(new Blob(["<svg/>"], { type: "image/svg+xml" })).catch((e) => e);
  assert.equal(wrong.errors[0].field, "content_type");
  const job = await genmux.wait((await genmux.create({ model: "pika-2.2", prompt: "a boat", image })).id);
  assert.deepEqual([job.status, job.progress, job.request.image], ["succeeded", 100, image]);
});

test("a key makes one job, also if an answer is lost", async () => {
  let calls = 0;
  const lossy = async (url, init) => {
    calls += 1;
    const answer = await fetch(url, init);
    return calls === 1 ? new Response("<html>", { status: 503 }) : answer;
  };
  const request = { model: "gen-4.5", prompt: "a kite" };
  const first = await new Client({ fetch: lossy }).create(request, { idempotencyKey: "order, 2" });
  const again = await new Client().create(request, { idempotencyKey: "order, 2" });
  assert.deepEqual([calls, again.id], [2, first.id]);
  await new Client().cancel(first.id);
});

test("what is wrong names its field", async () => {
  const wrong = await new Client().create({ model: "gen-4.5", prompt: "a boat", duration_s: 99 }).catch((e) => e);
  assert.ok(wrong instanceof GenmuxError);
  assert.deepEqual([wrong.status, wrong.code, wrong.errors[0].field], [422, "invalid_request", "duration_s"]);
  const stranger = await new Client({ key: "gmx_wrong_key" }).models().catch((e) => e);
  assert.equal(stranger.status, 401);
});

test("a failed job says why", async () => {
  const genmux = new Client();
  const job = await genmux.create({ model: "gen-4.5", prompt: "a boat [[sim: fail=content_policy]]" });
  const failed = await genmux.wait(job.id).catch((e) => e);
  assert.ok(failed instanceof JobFailed);
  assert.equal(failed.job.error.code, "content_policy");
});

test("only what was signed in time is an event", async () => {
  const key = Buffer.from("0123456789abcdef0123456789abcdef");
  const secret = `whsec_${key.toString("base64")}`;
  const body = '{"type":"job.succeeded"}';
  const headers = (withKey = key) => {
    const signature = createHmac("sha256", withKey).update(`evt_1.1800000000.${body}`).digest("base64");
    return {
      "Webhook-Id": "evt_1",
      "webhook-timestamp": "1800000000",
      "webhook-signature": `v1a,xyz v1,%% v1,${signature}`,
    };
  };
  assert.equal((await verify(secret, headers(), body, 1_800_000_100)).type, "job.succeeded");
  assert.equal((await verify(secret, new Headers(headers()), Buffer.from(body), 1_800_000_000)).type, "job.succeeded");
  for (const [wrong, at, text] of [
    [headers(), 1_800_000_301, body],
    [headers(Buffer.from("other")), 1_800_000_000, body],
    [headers(), 1_800_000_000, `${body} `],
    [{}, 1_800_000_000, body],
  ]) {
    await assert.rejects(verify(secret, wrong, text, at), SignatureError);
  }
});
