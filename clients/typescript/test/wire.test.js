// Against servers that answer badly. They need no stack.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { createServer } from "node:http";
import { test } from "node:test";

import { Client, GenmuxError, verify } from "../dist/index.js";

const JOB = '{"id":"job_1","status":"running"}';

/** A server that gives its calls to `handle`; `use` gets its URL and the calls. */
async function served(handle, use) {
  const calls = [];
  const server = createServer((request, response) => {
    calls.push({ key: request.headers["idempotency-key"], prefer: request.headers["prefer"], url: request.url });
    request.resume().on("end", () => handle(response, calls.length, request));
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  try {
    await use(`http://127.0.0.1:${server.address().port}`, calls);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

const client = (api, options) => new Client({ api, key: "key", ...options });
const caught = (promise) => promise.then(() => assert.fail("it must fail"), (error) => error);

test("a body that breaks off is repeated with the same key", async () => {
  const breaking = (response, number) => {
    if (number > 1) return response.end(JOB);
    response.writeHead(200, { "content-length": 99 });
    response.write(JOB.slice(0, 9), () => response.destroy());
  };
  await served(breaking, async (api, calls) => {
    assert.equal((await client(api).create({ model: "m", prompt: "a boat" })).id, "job_1");
    assert.deepEqual([calls.length, calls[0].key], [2, calls[1].key]);
  });
});

test("what is no answer of the API is an error with the key", async () => {
  for (const body of ["<html>", "", "{}", "[]", "null", "7"]) {
    await served((response) => response.end(body), async (api, calls) => {
      const create = client(api).create({ model: "m", prompt: "a boat" }, { idempotencyKey: "order-1" });
      const error = await caught(create);
      assert.ok(error instanceof GenmuxError);
      assert.deepEqual([error.status, error.code, error.idempotencyKey], [200, "unexpected_answer", "order-1"]);
      assert.equal(calls.length, 1);
    });
  }
});

test("a redirect does not get the key", async () => {
  await served((response) => response.end(JOB), async (other, otherCalls) => {
    for (const status of [301, 302, 307, 308]) {
      await served((response) => response.writeHead(status, { location: other }).end(), async (api) => {
        assert.match((await caught(client(api).get("job_1"))).message, /redirect/);
      });
    }
    assert.equal(otherCalls.length, 0);
  });
});

test("a server that does not wait is not polled in a hot loop", async () => {
  const running = (response, number) => (number > 1 ? response.writeHead(304).end() : response.end(JOB));
  await served(running, async (api, calls) => {
    const error = await caught(client(api).wait("job_1", { timeoutMs: 2500 }));
    assert.equal(error.code, "timeout");
    assert.ok(calls.length <= 3, `${calls.length} polls`);
  });
});

test("a poll is shorter than the time limit of a call", async () => {
  await served((response) => response.end('{"id":"job_1","status":"succeeded"}'), async (api, calls) => {
    await client(api, { timeoutMs: 10_000 }).wait("job_1");
    assert.equal(calls[0].prefer, "wait=5");
  });
});

test("a download may take longer than a call while bytes come, and no longer without", async () => {
  const file = Buffer.from("a slow file");
  const sha256 = createHash("sha256").update(file).digest("hex");
  const slow = (stalls) => async (response, _, request) => {
    const url = `http://${request.headers.host}/file`;
    if (request.url !== "/file") return response.end(JSON.stringify({ id: "job_1", media: [{ url, sha256 }] }));
    for (const byte of stalls ? file.subarray(0, 3) : file) {
      response.write(Buffer.of(byte));
      await new Promise((done) => setTimeout(done, 100));
    }
    if (!stalls) response.end();
  };
  await served(slow(false), async (api) => {
    assert.deepEqual(Buffer.from(await client(api, { timeoutMs: 500 }).download({ id: "job_1" })), file);
  });
  await served(slow(true), async (api) => {
    assert.equal((await caught(client(api, { timeoutMs: 500 }).download({ id: "job_1" }))).code, "download");
  });
});

/** Uploads to a store that answers with these, the last one again and again: the keys that it got, and the error. */
async function uploaded(...answers) {
  let error;
  const keys = [];
  const store = (response, number, request) => {
    keys.push(request.headers["authorization"]);
    answers[Math.min(number, answers.length) - 1](response);
  };
  await served(store, async (url) => {
    const form = JSON.stringify({ id: "a", url: `${url}/store`, fields: { policy: "p" } });
    await served((response) => response.end(form), async (api) => {
      error = await client(api).upload(new Blob(["a"], { type: "image/png" })).then(() => undefined, (e) => e);
    });
  });
  return { keys, error };
}
const status = (code, headers = {}) => (response) => response.writeHead(code, headers).end();

test("a file is sent again while that may help, and never with the key", async () => {
  const { keys, error } = await uploaded((response) => response.destroy(), status(503), status(204));
  assert.equal(error, undefined);
  assert.deepEqual(keys, [undefined, undefined, undefined]);
});

test("a file that is refused is sent once and follows no redirect", async () => {
  await served(status(204), async (other, otherCalls) => {
    for (const code of [403, 307]) {
      const { keys, error } = await uploaded(status(code, { location: other }));
      assert.ok(error instanceof GenmuxError);
      assert.deepEqual([error.status, error.code, keys.length], [code, "upload", 1]);
    }
    assert.equal(otherCalls.length, 0);
  });
});

test("a store that cannot be reached is an error of this client", async () => {
  const form = JSON.stringify({ id: "a", url: "http://127.0.0.1:9/store", fields: {} });
  await served((response) => response.end(form), async (api) => {
    const error = await caught(client(api).upload(new Blob(["a"])));
    assert.ok(error instanceof GenmuxError);
    assert.equal(error.code, "unreachable");
  });
  await served((response) => response.end('{"fields":null}'), async (api) => {
    assert.equal((await caught(client(api).upload(new Blob(["a"])))).code, "unexpected_answer");
  });
});

test("a file that is too large is not read", async () => {
  await served((response) => response.end(JOB), async (api, calls) => {
    const largest = 10 << 20;
    const large = { size: largest + 1, type: "image/png", arrayBuffer: () => assert.fail("it is read") };
    assert.ok((await caught(client(api).upload(large))) instanceof RangeError);
    assert.equal(calls.length, 0);
    await caught(client(api).upload(new Blob([new Uint8Array(largest)])));
    assert.equal(calls.length, 1);
  });
});

test("a deleted file is named as the reason", async () => {
  const job = { id: "job_1", status: "succeeded", media_deleted_at: "2026-11-30T08:00:00.000Z" };
  await served((response) => response.end(JSON.stringify(job)), async (api) => {
    const error = await caught(client(api).download({ id: "job_1" }));
    assert.equal(error.message, "job_1 succeeded: its file was deleted at 2026-11-30T08:00:00.000Z");
  });
});

test("fetch is called as browsers demand, on no other object", async () => {
  const asInBrowsers = function () {
    if (this !== undefined) throw new TypeError("Illegal invocation");
    return Promise.resolve(new Response(JOB));
  };
  assert.equal((await client("http://api", { fetch: asInBrowsers }).get("job_1")).id, "job_1");
});

test("an API that is no URL fails at once", () => {
  for (const api of ["127.0.0.1:8787", "ftp://api", "http://", "http://a b", "http://api?x=1"]) {
    assert.throws(() => client(api), TypeError);
  }
});

test("what is no secret verifies nothing", async () => {
  for (const secret of ["", "whsec_", undefined, "whsec_%%", "whsec_é"]) {
    await assert.rejects(verify(secret, {}, "{}"), TypeError);
  }
});
