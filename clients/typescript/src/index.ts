/** A client of Genmux, with nothing but `fetch` and Web Crypto. */
export { Client, GenmuxError, JobFailed } from "./client.js";
export type { ClientOptions, Image, Job, JobStatus, Media, Model, Request } from "./client.js";
export { SignatureError, verify } from "./webhook.js";
export type { GenmuxEvent } from "./webhook.js";
