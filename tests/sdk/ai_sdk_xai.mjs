// Vercel's client of xAI, which xAI's own guides use, against the simulator; it checks every answer by
// its schema. xAI's own client for Python speaks gRPC, which is another API.
// requires: @ai-sdk/xai@5.0.12 zod@4.6.7

import assert from "node:assert/strict";
import { setTimeout as pause } from "node:timers/promises";
import { createXai } from "@ai-sdk/xai";

const xai = createXai({ apiKey: "secret", baseURL: `${process.argv[2]}/v1` });

function begun(prompt, order = {}, model = "grok-imagine-video") {
  const standard = { prompt, n: 1, duration: 6, aspectRatio: "16:9", resolution: "1280x720", providerOptions: {} };
  return xai.video(model).doStart({ ...standard, ...order });
}

async function ended(...order) {
  const { operation, warnings } = await begun(...order);
  assert.deepEqual(warnings, []);
  for (let polls = 0; polls < 100; polls += 1) {
    const state = await xai.video("grok-imagine-video").doStatus({ operation, providerOptions: {} });
    if (state.status !== "pending") return state;
    await pause(100);
  }
  assert.fail("it does not end");
}

async function refused(status, words, ...order) {
  await assert.rejects(begun(...order), (error) => {
    assert.equal(error.statusCode, status, error);
    assert.match(error.responseBody, words);
    return true;
  });
}

const done = await ended("a paper boat");
assert.equal(done.status, "completed", done.error);
assert.equal(done.providerMetadata.xai.costInUsdTicks, 4_200_000_000);
assert.equal(done.providerMetadata.xai.duration, 6);
const video = Buffer.from(await (await fetch(done.videos[0].url)).arrayBuffer());
assert.equal(video.subarray(4, 8).toString(), "ftyp");

const image = { type: "url", url: "https://images.example/boat.png", mediaType: "image/png" };
const frame = (frameType) => ({ frameType, image });
const animated = { aspectRatio: undefined, frameImages: [frame("first_frame")] };
assert.equal((await ended("a boat", animated)).status, "completed");
const pinned = { ...animated, frameImages: [frame("first_frame"), frame("last_frame")] };
assert.equal((await ended("a boat", pinned, "grok-imagine-video-1.5")).status, "completed");
const fine = { resolution: "1920x1080", providerOptions: { xai: { generate_audio: false } } };
const native = await ended("a boat", fine, "grok-imagine-video-1.5");
assert.equal(native.providerMetadata.xai.costInUsdTicks, 15_000_000_000);

assert.equal((await ended("a [[sim: xai=bare]]")).status, "completed");
for (const play of ["fail=content_policy", "fail=no_code", "fail=content_policy, xai=done", "xai=expired"]) {
  assert.equal((await ended(`a [[sim: ${play}]]`)).status, "error", play);
}
await assert.rejects(ended("a [[sim: fail=content_policy, xai=error]]"), /moderation/);

await refused(400, /Duration must be/, "a", { duration: 16 });
await refused(404, /does not exist/, "a", {}, "grok-9");
await refused(400, /Incorrect API key/, "a [[sim: create=refuse:401]]");
await refused(403, /spending limit/, "a [[sim: create=refuse:403-balance]]");
await refused(403, /usage guidelines/, "a [[sim: create=refuse:policy]]");
await refused(422, /^Failed to deserialize/, "a [[sim: create=refuse:422]]");
await refused(429, /Too many requests/, "a [[sim: create=refuse:429]]");
await refused(503, /capacity/, "a [[sim: create=refuse:503]]");
