/** Calls the API: create, wait, download. */

export type JobStatus = "queued" | "dispatching" | "running" | "settling" | "succeeded" | "failed" | "canceled";

/** A finished file. `url` is valid until `url_expires_at`. */
export interface Media {
  url: string;
  url_expires_at: string;
  content_type: string;
  bytes: number;
  sha256: string;
  width?: number;
  height?: number;
  /** Of a video. */
  duration_s?: number;
  fps?: number;
  /** Links to what is made of the file, by name, if the deployment offers any. */
  variants?: Record<string, string>;
  [member: string]: unknown;
}

/** A job as the API shows it; more members are in its document. */
export interface Job {
  id: string;
  status: JobStatus;
  model: string;
  price_micro_credits: number;
  refund_micro_credits?: number;
  created_at: string;
  updated_at: string;
  /** In percent; 100 for a success alone. */
  progress: number;
  /** How long the model usually takes, in seconds. */
  expected_s?: number;
  media?: Media[];
  media_deleted_at?: string;
  error?: { code: string; message: string; provider_code?: string };
  [member: string]: unknown;
}

export interface Model {
  name: string;
  title: string;
  kind: "video" | "image";
  expected_s: number;
  [member: string]: unknown;
}

/** An image of a request: `upload` of the client returns one. */
export type Image = { url: string } | { upload: string };

/** The fields of a request; more are in the API's document. */
export interface Request {
  model: string;
  prompt: string;
  /** Length in seconds; each model has its own choice. */
  duration_s?: number;
  image?: Image;
  last_frame?: Image;
  image_url?: string;
  callback_url?: string;
  [field: string]: unknown;
}

export interface ClientOptions {
  /** The URL of the API. Default: `GENMUX_API`. */
  api?: string;
  /** The key. Default: `GENMUX_KEY`. */
  key?: string;
  /** The longest time for one call, and for a download without a further byte, in milliseconds. */
  timeoutMs?: number;
  fetch?: typeof fetch;
}

interface Form {
  url: string;
  fields: Record<string, string>;
}

interface Problem {
  code?: string;
  detail?: string;
  errors?: { field: string; detail: string; allowed?: string[] }[];
}

/** The API rejected a call, could not be reached (then `status` is 0), or something else answered. */
export class GenmuxError extends Error {
  /** Stable, for programs. */
  readonly code: string;
  /** Each wrong field, with its allowed values. */
  readonly errors: NonNullable<Problem["errors"]>;
  /** After `create`: the key that it sent. A repeat with it makes at most one job. */
  idempotencyKey?: string;

  constructor(
    readonly status: number,
    problem: Problem,
    readonly requestId?: string | null,
  ) {
    const code = problem.code ?? (status ? "unexpected_answer" : "unreachable");
    const errors = Array.isArray(problem.errors) ? problem.errors : [];
    const fields = errors.map((error) => `; ${error?.field}: ${error?.detail}`).join("");
    super(`${status || ""} ${code}: ${problem.detail ?? ""}${fields}`.trim());
    this.name = "GenmuxError";
    this.code = code;
    this.errors = errors;
  }
}

/** A job that has ended without a file, or whose file was deleted. `job.error` says why it has none. */
export class JobFailed extends Error {
  constructor(readonly job: Job) {
    const deleted = job.media_deleted_at;
    const why = deleted ? `its file was deleted at ${deleted}` : `${job.error?.code ?? ""} ${job.error?.message ?? ""}`;
    super(`${job.id} ${job.status}: ${why}`.trim());
    this.name = "JobFailed";
  }
}

/** Answers after which the same call may succeed. All calls of this client may be repeated. */
const PASSING = [408, 425, 429, 500, 502, 503, 504];
const TRIES = 5;
/** The longest wait of the API for a change, in seconds. */
const POLL_S = 25;
/** The shortest time between two polls, in milliseconds. */
const POLL_FLOOR_MS = 1000;
const IMAGE_BYTES_MAX = 10 << 20;
const NO_ANSWER = "the answer is not one of the API: check its URL";

interface Answer {
  value: Record<string, unknown>;
  headers: Headers;
}

export class Client {
  readonly #api: string;
  readonly #key: string;
  readonly #timeoutMs: number;
  readonly #fetch: typeof fetch;

  constructor(options: ClientOptions = {}) {
    const env = typeof process === "undefined" ? {} : process.env;
    const api = options.api ?? env["GENMUX_API"];
    const key = options.key ?? env["GENMUX_KEY"];
    if (!api || !key) throw new TypeError("name the API and its key, or set GENMUX_API and GENMUX_KEY");
    if (!/^https?:\/\/[^\s/?#]+(\/[^\s?#]*)?$/.test(api)) {
      throw new TypeError("the API is an http or https URL, without a query");
    }
    this.#api = api.replace(/\/+$/, "");
    this.#key = key.trim();
    this.#timeoutMs = options.timeoutMs ?? 60_000;
    // Browsers refuse `fetch` as a method of another object.
    const call = options.fetch ?? fetch;
    this.#fetch = (input, init) => call(input, init);
  }

  /** The models, with the limits of each route and prices. */
  async models(): Promise<Model[]> {
    return ((await this.#json("models", "GET", "/v1/models")) as { models: Model[] }).models;
  }

  /** The balance, and the newest entries of the ledger. */
  async account(): Promise<{ id: string; balance_micro_credits: number; [member: string]: unknown }> {
    return (await this.#json("id", "GET", "/v1/account")) as { id: string; balance_micro_credits: number };
  }

  /**
   * Submits a job. When this resolves, it is charged and will not be lost.
   *
   * The same `idempotencyKey` never makes a second job; without one, each call of this method makes one,
   * however often it has to be sent.
   */
  async create(request: Request, options: { idempotencyKey?: string } = {}): Promise<Job> {
    const key = options.idempotencyKey ?? crypto.randomUUID();
    try {
      const header = { "idempotency-key": JSON.stringify(key) };
      return (await this.#json("id", "POST", "/v1/jobs", request, header)) as Job;
    } catch (error) {
      if (error instanceof GenmuxError) error.idempotencyKey = key;
      throw error;
    }
  }

  /**
   * Uploads an image, as the `image` or `last_frame` of a request. A repeat is the same upload.
   *
   * Throws a `RangeError` for a file that is too large.
   */
  async upload(file: Blob): Promise<Image> {
    if (file.size > IMAGE_BYTES_MAX) throw new RangeError(`the file is too large: an image may have ${IMAGE_BYTES_MAX} bytes`);
    const sha256 = await hex(await file.arrayBuffer());
    const announced = { content_type: file.type, bytes: file.size, sha256 };
    const form = (await this.#json("fields", "POST", "/v1/uploads", announced)) as Form;
    if (!form.fields || typeof form.url !== "string") throw new GenmuxError(200, { detail: NO_ANSWER });
    const body = new FormData();
    for (const [name, value] of Object.entries(form.fields)) body.append(name, value);
    body.append("file", file);
    // The form is for the store, which does not get the key.
    const { answer } = await this.#sent("the store", form.url, { method: "POST", body });
    if (!answer.ok) throw new GenmuxError(answer.status, { code: "upload", detail: "the store refuses the file" });
    return { upload: sha256 };
  }

  /** A job; if it has succeeded, with a link to its file that is valid for an hour. */
  async get(id: string): Promise<Job> {
    return (await this.#json("id", "GET", `/v1/jobs/${encodeURIComponent(id)}`)) as Job;
  }

  /** All jobs, newest first. */
  async *list(options: { status?: JobStatus } = {}): AsyncGenerator<Job> {
    let cursor: string | null = null;
    do {
      const query = new URLSearchParams({ limit: "100" });
      if (options.status) query.set("status", options.status);
      if (cursor) query.set("cursor", cursor);
      const page = (await this.#json("jobs", "GET", `/v1/jobs?${query}`)) as { jobs: Job[]; next_cursor?: string | null };
      yield* page.jobs;
      cursor = page.next_cursor ?? null;
    } while (cursor);
  }

  /** Requests the cancel of a job. `refund_micro_credits` is what comes back. */
  async cancel(id: string): Promise<Job> {
    return (await this.#json("id", "POST", `/v1/jobs/${encodeURIComponent(id)}/cancel`)) as Job;
  }

  /** The job at its end. Throws `JobFailed` without a file, and `GenmuxError` `timeout` (the job goes on). */
  async wait(id: string, options: { timeoutMs?: number } = {}): Promise<Job> {
    const timeoutMs = options.timeoutMs ?? 3_600_000;
    const end = Date.now() + timeoutMs;
    const longest = Math.min(POLL_S, this.#timeoutMs / 2000);
    let tag: string | null = null;
    for (;;) {
      const asked = Date.now();
      const wait = Math.max(1, Math.floor(Math.min(longest, (end - asked) / 1000)));
      const headers: Record<string, string> = { prefer: `wait=${wait}` };
      if (tag) headers["if-none-match"] = tag;
      const answer = await this.#call("status", "GET", `/v1/jobs/${encodeURIComponent(id)}`, undefined, headers);
      if (answer) {
        tag = answer.headers.get("etag");
        const job = answer.value as Job;
        if (job.status === "succeeded") return job;
        if (job.status === "failed" || job.status === "canceled") throw new JobFailed(job);
      }
      // A server that does not wait is not polled in a hot loop.
      const next = Math.max(Date.now(), asked + POLL_FLOOR_MS);
      await sleep(Math.min(next, end) - Date.now());
      if (next >= end) throw new GenmuxError(0, { code: "timeout", detail: `${id} is not done; it continues` });
    }
  }

  /** The bytes of a succeeded job's file, checked against its SHA-256. */
  async download(job: Job): Promise<Uint8Array<ArrayBuffer>> {
    const newest = await this.get(job.id);
    const media = newest.media?.[0];
    if (!media) throw new JobFailed(newest);
    const bytes = await this.#bytes(media.url);
    if ((await hex(bytes)) !== media.sha256) throw new GenmuxError(0, { code: "download", detail: "the file was changed on its way" });
    return bytes;
  }

  /** A file of the store, which does not get the key. It may take long, as long as bytes come. */
  async #bytes(url: string): Promise<Uint8Array<ArrayBuffer>> {
    const stop = new AbortController();
    const stopLater = () => setTimeout(() => stop.abort(), this.#timeoutMs);
    let timer = stopLater();
    try {
      const answer = await this.#fetch(url, { signal: stop.signal });
      if (!answer.ok) throw new GenmuxError(answer.status, { code: "download", detail: "the store has no such file" });
      const chunks: Uint8Array<ArrayBuffer>[] = [];
      const reader = answer.body?.getReader();
      for (let read = await reader?.read(); read && !read.done; read = await reader?.read()) {
        chunks.push(read.value);
        clearTimeout(timer);
        timer = stopLater();
      }
      return new Uint8Array(await new Blob(chunks).arrayBuffer());
    } catch (error) {
      if (error instanceof GenmuxError) throw error;
      throw new GenmuxError(0, { code: "download", detail: `the file did not arrive: ${error}` });
    } finally {
      clearTimeout(timer);
    }
  }

  async #json(
    member: string,
    method: string,
    path: string,
    body?: unknown,
    headers?: Record<string, string>,
  ): Promise<unknown> {
    return (await this.#call(member, method, path, body, headers))?.value;
  }

  /** The answer, which has this member; undefined if it is not modified. */
  async #call(
    member: string,
    method: string,
    path: string,
    body?: unknown,
    headers: Record<string, string> = {},
  ): Promise<Answer | undefined> {
    const init: RequestInit = {
      method,
      headers: { authorization: `Bearer ${this.#key}`, "content-type": "application/json", ...headers },
    };
    if (body !== undefined) init.body = JSON.stringify(body);
    const { answer, text } = await this.#sent("the API", this.#api + path, init);
    if (answer.status === 304) return undefined;
    const value = object(text);
    if (answer.ok && member in value) return { value, headers: answer.headers };
    throw new GenmuxError(answer.status, problem(answer, value), answer.headers.get("x-request-id"));
  }

  /** The answer and its body, after as many tries as it takes. */
  async #sent(whom: string, url: string, init: RequestInit): Promise<{ answer: Response; text: string }> {
    for (let number = 1; ; number++) {
      let answer: Response;
      let text: string;
      try {
        const signal = AbortSignal.timeout(this.#timeoutMs);
        // The target of a redirect would get the key, or the file.
        answer = await this.#fetch(url, { ...init, redirect: "manual", signal });
        text = await answer.text();
      } catch (error) {
        if (number === TRIES) throw new GenmuxError(0, { detail: `${whom} is not reachable: ${error}` });
        await pause(number, 0);
        continue;
      }
      const after = Number(answer.headers.get("retry-after")) || 0;
      // A limit of the account that does not pass soon is for the caller to see.
      if (!PASSING.includes(answer.status) || number === TRIES || after > 60) return { answer, text };
      await pause(number, after);
    }
  }
}

/** The SHA-256 of a content, in hexadecimal. */
async function hex(content: BufferSource): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", content));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** A JSON object; empty if it is anything else. */
function object(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

function problem(answer: Response, value: Record<string, unknown>): Problem {
  if (answer.ok) return { detail: NO_ANSWER };
  // A browser shows nothing of a redirect, not even its status.
  if (answer.type === "opaqueredirect" || answer.status < 400) {
    const detail = "a redirect is not followed, because its target would get the key: name the API itself";
    return { code: "unexpected_answer", detail };
  }
  return value;
}

async function pause(number: number, atLeastS: number): Promise<void> {
  await sleep(Math.max(atLeastS, (0.5 + Math.random() / 2) * Math.min(8, 2 ** (number - 1) / 2)) * 1000);
}

async function sleep(ms: number): Promise<void> {
  await new Promise((done) => setTimeout(done, ms));
}
