// Twilio's own SDK for Node as an oracle for signatures.
//
// Reads one JSON object per line: token, url, body (the raw form, null for a GET), json (the raw body where it is no
// form, else null), signature (may be empty). Answers each with one line: the signature the SDK computes, and whether
// it accepts the one it was given.

"use strict";

const readline = require("node:readline");
const { getExpectedTwilioSignature, validateRequest, validateRequestWithBody } = require("twilio/lib/webhooks/webhooks");

// What web frameworks hand to the SDK: a text, or all texts of a repeated name.
function parameters(body) {
  const found = {};
  for (const [name, value] of new URLSearchParams(body ?? "")) {
    found[name] = name in found ? [found[name], value].flat() : value;
  }
  return found;
}

readline.createInterface({ input: process.stdin }).on("line", (line) => {
  const { token, url, body, json, signature } = JSON.parse(line);
  const form = parameters(body);
  const valid =
    json === null
      ? validateRequest(token, signature, url, form)
      : validateRequestWithBody(token, signature, url, json);
  console.log(JSON.stringify({ computed: getExpectedTwilioSignature(token, url, form), valid }));
});
