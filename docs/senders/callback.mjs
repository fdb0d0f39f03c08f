// Receive Jembatan's status callbacks: verify, take each change once, in order. Node 18 or newer, nothing else.
//
//     export JEMBATAN_CALLBACK_KEY=whsec_...
//     node callback.mjs 8400

import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";

const TOLERANCE_S = 300;
/** The newest change known of each report. Yours is a column beside the report, changed in one transaction with it. */
const newest = new Map();

/** Tell whether Jembatan signed these bytes, within five minutes; `headers` has names in lower case. */
function isAuthentic(key, headers, body, nowS) {
  const { "webhook-id": id = "", "webhook-timestamp": timestamp = "", "webhook-signature": given = "" } = headers;
  if (!id || !/^[0-9]{1,12}$/.test(timestamp) || Math.abs(nowS - Number(timestamp)) > TOLERANCE_S) return false;
  const secret = Buffer.from(key.replace(/^whsec_/, ""), "base64");
  const mac = createHmac("sha256", secret).update(`${id}.${timestamp}.`).update(body).digest("base64");
  const expected = Buffer.from("v1," + mac);
  const entries = given.split(" ").map((entry) => Buffer.from(entry));
  return entries.some((entry) => entry.length === expected.length && timingSafeEqual(entry, expected));
}

/** Take a change unless a newer one is known: `sequence` rises with each change of a report. */
function take(change) {
  if (change.sequence <= (newest.get(change.id) ?? 0)) return;
  newest.set(change.id, change.sequence);
  console.log(change.id, change.sequence, change.status, change.colour, change.message);
}

createServer(async (request, response) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const body = Buffer.concat(chunks);
  const authentic = isAuthentic(process.env.JEMBATAN_CALLBACK_KEY, request.headers, body, Date.now() / 1000);
  if (authentic) take(JSON.parse(body).data);
  response.writeHead(authentic ? 204 : 401).end(); // anything but 2xx comes again
}).listen(Number(process.argv[2]), "127.0.0.1");
