// Send one report to Jembatan, signed by Standard Webhooks v1. Node 18 or newer, nothing but its standard library.
//
//     export JEMBATAN_URL=http://127.0.0.1:8311/webhooks/qlue JEMBATAN_KEY=whsec_...
//     node sender.mjs report.json

import { createHmac, randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { setTimeout as wait } from "node:timers/promises";
import { pathToFileURL } from "node:url";

const ATTEMPTS = 8;
const TIMEOUT_MS = 30_000;

/** Return one entry of the webhook-signature header; `body` is the very bytes (a Buffer) that are sent. */
export function sign(key, webhookId, timestamp, body) {
  const secret = Buffer.from(key.replace(/^whsec_/, ""), "base64");
  const mac = createHmac("sha256", secret).update(`${webhookId}.${timestamp}.`).update(body);
  return "v1," + mac.digest("base64");
}

/** Wrap a report: what happened, and when it happened at the city. */
function eventOf(report) {
  return { type: "report.submitted", timestamp: new Date().toISOString(), data: report };
}

/** Send once; return the status (0: nobody answered), the Retry-After header, and the text of the answer. */
async function attempt(url, key, webhookId, body) {
  const timestamp = Math.floor(Date.now() / 1000); // of this attempt, and so is the signature
  const headers = {
    "content-type": "application/json",
    "webhook-id": webhookId,
    "webhook-timestamp": String(timestamp),
    "webhook-signature": sign(key, webhookId, timestamp, body),
  };
  try {
    const signal = AbortSignal.timeout(TIMEOUT_MS);
    const answer = await fetch(url, { method: "POST", headers, body, signal, redirect: "manual" });
    return { status: answer.status, retryAfter: answer.headers.get("retry-after") ?? "", text: await answer.text() };
  } catch (error) {
    return { status: 0, retryAfter: "", text: String(error.cause ?? error) };
  }
}

/** Send until it is taken or refused. The id stays the same: however often it arrives, it is one report. */
export async function send(url, key, body) {
  const webhookId = "msg_" + randomUUID().replaceAll("-", "");
  let answer;
  for (let number = 0; number < ATTEMPTS; number++) {
    answer = await attempt(url, key, webhookId, body);
    if (![0, 429].includes(answer.status) && answer.status < 500) break;
    if (number + 1 < ATTEMPTS) {
      const own = 2 ** number * (1 + Math.random() / 2);
      const waitS = /^[0-9]+$/.test(answer.retryAfter) ? Number(answer.retryAfter) : own;
      console.error(`${answer.status || "no answer"}: ${answer.text.trim()}; again in ${waitS.toFixed()} s`);
      await wait(waitS * 1000);
    }
  }
  return answer;
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const report = JSON.parse(readFileSync(process.argv[2], "utf8"));
  // Written once, then signed and sent as these bytes.
  const body = Buffer.from(JSON.stringify(eventOf(report)));
  const { status, text } = await send(process.env.JEMBATAN_URL, process.env.JEMBATAN_KEY, body);
  console.log(status, text.trim());
  process.exitCode = status >= 200 && status < 300 ? 0 : 1;
}
