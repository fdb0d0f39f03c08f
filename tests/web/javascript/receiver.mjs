// Take webhooks as a city would that trusts a library: POST /LIBRARY/KEY answers 204 when it accepts them, else 401.
//
//     node receiver.mjs 8400
//
// Whatever it accepts must not be accepted with anything changed: 500 says what was.

import { createPublicKey, verify } from "node:crypto";
import { createServer } from "node:http";
import { Webhook as StandardWebhook } from "standardwebhooks";
import { Webhook as SvixWebhook } from "svix";

/** No official library knows v1a: what the specification says of it, by OpenSSL's Ed25519. */
class Ed25519Webhook {
  constructor(key) {
    const x = Buffer.from(key.replace(/^whpk_/, ""), "base64").toString("base64url");
    this.key = createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x }, format: "jwk" });
  }

  verify(body, headers) {
    const signed = Buffer.from(`${headers["webhook-id"]}.${headers["webhook-timestamp"]}.${body}`);
    const entries = headers["webhook-signature"].split(" ").filter((entry) => entry.startsWith("v1a,"));
    if (!entries.some((entry) => verify(null, signed, this.key, Buffer.from(entry.slice(4), "base64"))))
      throw new Error("No matching signature found");
    return JSON.parse(body);
  }
}

const LIBRARIES = { standardwebhooks: StandardWebhook, svix: SvixWebhook, ed25519: Ed25519Webhook };

/** Tell why the library refuses the webhook; an empty text when it accepts it. */
function refusal(webhook, body, headers) {
  try {
    webhook.verify(body, headers);
    return "";
  } catch (error) {
    return error.message || String(error);
  }
}

/** List what can be changed without the library noticing. */
function unnoticed(webhook, body, headers) {
  const later = String(Number(headers["webhook-timestamp"]) + 1);
  const changed = {
    body: [body + " ", headers],
    id: [body, { ...headers, "webhook-id": headers["webhook-id"] + "x" }],
    timestamp: [body, { ...headers, "webhook-timestamp": later }],
  };
  return Object.keys(changed).filter((what) => !refusal(webhook, ...changed[what]));
}

createServer(async (request, response) => {
  const [, library, key] = request.url.split("/").map(decodeURIComponent);
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const body = Buffer.concat(chunks).toString();
  const webhook = new LIBRARIES[library](key);
  const why = refusal(webhook, body, request.headers);
  const missed = why ? [] : unnoticed(webhook, body, request.headers);
  if (missed.length) response.writeHead(500).end(`accepted with another ${missed}`);
  else response.writeHead(why ? 401 : 204).end(why);
}).listen(Number(process.argv[2]), "127.0.0.1");
