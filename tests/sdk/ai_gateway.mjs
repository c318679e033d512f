// Vercel's AI SDK with the gateway that comes with it, and another base URL, against the API.
// requires: ai@7.0.173 @ai-sdk/gateway@4.0.146

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createGateway } from "@ai-sdk/gateway";
import { experimental_generateVideo as generateVideo } from "ai";

const [api, proxy, apiKey, image] = process.argv.slice(2);
const genmux = createGateway({ baseURL: `${api}/v1/ai`, apiKey });
const poll = { intervalMs: 100 };
const model = "pika-2.2";

async function jobs() {
  const answer = await fetch(`${api}/v1/jobs`, { headers: { authorization: `Bearer ${apiKey}` } });
  return (await answer.json()).jobs.length;
}

function isVideo({ video }) {
  assert.equal(Buffer.from(video.uint8Array).subarray(4, 8).toString(), "ftyp");
  assert.equal(video.mediaType, "video/mp4");
}

const { models } = await genmux.getAvailableModels();
assert.ok(models.some(({ id, modelType }) => id === model && modelType === "video"));

// By itself, it downloads nothing from this machine.
const download = async ({ url }) => {
  const file = await fetch(url);
  return { data: new Uint8Array(await file.arrayBuffer()), mediaType: file.headers.get("content-type") };
};
const common = { duration: 5, resolution: "1280x720", poll, download };
const order = { model: genmux.video(model), prompt: "a paper boat", ...common };
const made = await generateVideo(order);
isVideo(made);
assert.match(made.providerMetadata.genmux.id, /^job_/);
isVideo(await generateVideo({ ...order, prompt: { text: "a boat", image: readFileSync(image) } }));
assert.equal(await jobs(), 2);

// The proxy drops the answer to the first call that is accepted, and answers 503.
const lossy = createGateway({ baseURL: `${proxy}/v1/ai`, apiKey });
isVideo(await generateVideo({ ...order, model: lossy.video(model) }));
assert.equal(await jobs(), 3);

// A report instead of polls: its client asks for the status once it has come.
const server = createServer((request, response) => {
  request.resume();
  response.end();
  server.emit("report");
});
await new Promise((done) => server.listen(0, "127.0.0.1", done));
const webhook = async () => ({
  url: `http://127.0.0.1:${server.address().port}/`,
  received: new Promise((done) => server.once("report", done)),
});
isVideo(await generateVideo({ ...order, poll: undefined, webhook }));
server.close();

await assert.rejects(generateVideo({ ...order, poll: undefined }), /poll: \{\}/);
await assert.rejects(generateVideo({ ...order, prompt: "a [[sim: fail=content_policy]]" }), /content_policy/);
await assert.rejects(generateVideo({ ...order, duration: 7 }), /duration.*allowed: 5, 10/);
await assert.rejects(generateVideo({ ...order, model: genmux.video("veo-99") }), (error) => {
  assert.equal(error.type, "model_not_found", error);
  return true;
});
const stranger = createGateway({ baseURL: `${api}/v1/ai`, apiKey: "sk-1" });
await assert.rejects(generateVideo({ ...order, model: stranger.video(model) }), (error) => {
  assert.equal(error.type, "authentication_error", error);
  return true;
});
