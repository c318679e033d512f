/** Verifies events: Standard Webhooks 1.0.0. */

/** The event is not genuine, or too old. Answer with 400 and ignore it. */
export class SignatureError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "SignatureError";
  }
}

export interface GenmuxEvent {
  type: string;
  timestamp: string;
  data: Record<string, unknown>;
}

/** How far the clocks of sender and receiver may differ, in seconds. */
const TOLERANCE_S = 300;

/**
 * The event of a request, if it was signed with this secret of an endpoint (`whsec_…`).
 *
 * `body` is the text as it came. `webhook-id` is the same for all tries of one event: ignore an id that
 * you have seen. A secret that is none is a `TypeError`.
 */
export async function verify(
  secret: string,
  headers: Headers | Record<string, string | string[] | undefined>,
  body: string | Uint8Array<ArrayBuffer>,
  nowS: number = Date.now() / 1000,
): Promise<GenmuxEvent> {
  const keyBytes = decoded(secret?.replace(/^whsec_/, "") ?? "");
  // An empty key would let everyone sign.
  if (!keyBytes?.length) throw new TypeError("the secret is not one of an endpoint (`whsec_…`)");
  const id = header(headers, "webhook-id");
  const timestamp = header(headers, "webhook-timestamp");
  if (!id || !/^\d{1,12}$/.test(timestamp)) {
    throw new SignatureError("webhook-id or webhook-timestamp is missing or malformed");
  }
  if (Math.abs(nowS - Number(timestamp)) > TOLERANCE_S) throw new SignatureError("the event was signed too long ago");
  const bytes = typeof body === "string" ? new TextEncoder().encode(body) : body;
  const start = new TextEncoder().encode(`${id}.${timestamp}.`);
  const signed = new Uint8Array(start.length + bytes.length);
  signed.set(start);
  signed.set(bytes, start.length);
  const key = await crypto.subtle.importKey("raw", keyBytes, { name: "HMAC", hash: "SHA-256" }, false, ["verify"]);
  for (const signature of header(headers, "webhook-signature").split(" ")) {
    const value = signature.startsWith("v1,") ? decoded(signature.slice(3)) : undefined;
    // Web Crypto compares in constant time.
    if (value && (await crypto.subtle.verify("HMAC", key, value, signed))) {
      return JSON.parse(new TextDecoder().decode(bytes)) as GenmuxEvent;
    }
  }
  throw new SignatureError("no signature fits");
}

function header(headers: Headers | Record<string, string | string[] | undefined>, name: string): string {
  if (headers instanceof Headers) return headers.get(name) ?? "";
  const found = Object.entries(headers).find(([given]) => given.toLowerCase() === name)?.[1];
  return (Array.isArray(found) ? found[0] : found) ?? "";
}

function decoded(base64: string): Uint8Array<ArrayBuffer> | undefined {
  try {
    return Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
  } catch {
    return undefined;
  }
}
