// OpenAI's own client for Node, with another base URL, against the API.
// requires: openai@7.55.0

import assert from "node:assert/strict";
import { createReadStream, readFileSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import OpenAI, { toFile } from "openai";

const [api, proxy, apiKey, image] = process.argv.slice(2);
const client = new OpenAI({ baseURL: `${api}/v1`, apiKey });
const model = "pika-2.2";

async function ended(id) {
  for (let polls = 0; polls < 600; polls += 1) {
    const { data, response } = await client.videos.retrieve(id).withResponse();
    if (data.status === "completed" || data.status === "failed") return data;
    assert.ok(Number(response.headers.get("openai-poll-after-ms")) >= 2000);
    await pause(100);
  }
  assert.fail("it does not end");
}

async function listed(query) {
  const ids = [];
  for await (const video of client.videos.list(query)) ids.push(video.id);
  return ids;
}

async function refused(call, status, code) {
  await assert.rejects(call, (error) => {
    assert.deepEqual([error.status, error.code], [status, code], error);
    return true;
  });
}

const video = await client.videos.create({ model, prompt: "a paper boat", seconds: "5", size: "1280x720" });
const done = await ended(video.id);
assert.deepEqual([done.status, done.progress, done.seconds], ["completed", 100, "5"]);
const content = Buffer.from(await (await client.videos.downloadContent(video.id)).arrayBuffer());
assert.equal(content.subarray(4, 8).toString(), "ftyp");

const moving = await client.videos.create({ model, prompt: "a boat", input_reference: createReadStream(image) });
assert.equal((await ended(moving.id)).status, "completed");
assert.deepEqual(await listed({ limit: 1, order: "asc" }), [video.id, moving.id]);
assert.equal((await client.videos.delete(video.id)).deleted, true);
await refused(client.videos.retrieve(video.id), 404, "not_found");

// The proxy drops the answer to the first call that is accepted, and answers 503.
const lossy = new OpenAI({ baseURL: `${proxy}/v1`, apiKey });
const file = await toFile(readFileSync(image), "boat.png"); // a stream could not be sent again
const once = await lossy.videos.create({ model, prompt: "once", input_reference: file });
assert.deepEqual(await listed({}), [once.id, moving.id]);

await refused(client.videos.create({ prompt: "a" }), 400, "model_not_found");
await refused(client.videos.create({ model, prompt: "a", seconds: "4" }), 400, "invalid_value");
await refused(new OpenAI({ baseURL: `${api}/v1`, apiKey: "sk-1" }).videos.list(), 401, "invalid_api_key");
