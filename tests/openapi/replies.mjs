// replies.mjs - every reply that the integration tests kept, against the API's
// document: its status, its type, and by ajv its body, in which nothing may be
// that the document does not name.
//
//   node replies.mjs DOCUMENT FOLDER
//
// FOLDER has a file of lines for each test (tests/integ/lib_record.py). Prints
// one JSON line per operation that was called, then one of all; status 1 when
// any fault was found.
import fs from "node:fs";
import path from "node:path";
import { Document } from "./schema.mjs";

const [file, folder] = process.argv.slice(2);
const document = new Document(fs.readFileSync(file, "utf8"));
const routes = document.operations.map((operation) => ({ ...operation,
  form: new RegExp(`^${operation.path.replace(/[.]/g, "\\.").replace(/\{[^}]*\}/g, "[^/]+")}$`) }));

function routeOf(method, target) {
  const at = target.split(/[?#]/)[0].replace(/%2f/gi, "/");
  return routes.find((route) => route.method === method && route.form.test(at));
}

// What no operation answers is a refusal.
function refusalFault(reply) {
  if (reply.status < 400) return `status ${reply.status} of what is no operation`;
  if (reply.type !== "application/problem+json") return `an error of type "${reply.type}"`;
  const check = document.ajv.getSchema("virga#/components/schemas/Problem");
  return check(JSON.parse(reply.body)) ? null : `not a problem: ${document.ajv.errorsText(check.errors)}`;
}

const seen = new Map();
let n = 0, faults = 0;
for (const name of fs.existsSync(folder) ? fs.readdirSync(folder).sort() : []) {
  if (!name.endsWith(".jsonl")) continue;
  for (const line of fs.readFileSync(path.join(folder, name), "utf8").split("\n")) {
    if (!line) continue;
    const reply = JSON.parse(line);
    const route = routeOf(reply.method, reply.path);
    const key = route ? `${route.method} ${route.path}` : "no operation";
    const at = seen.get(key) || { operation: key, replies: 0, statuses: {}, faults: [] };
    seen.set(key, at);
    n++;
    at.replies++;
    at.statuses[reply.status] = (at.statuses[reply.status] || 0) + 1;
    const fault = route ? document.fault(route, { status: reply.status, type: reply.type, text: reply.body })
      : refusalFault(reply);
    if (!fault) continue;
    faults++;
    if (at.faults.length < 5) at.faults.push(`${name}: ${reply.method} ${reply.path}: ${fault}`);
  }
}
for (const at of [...seen.values()].sort((a, b) => a.operation < b.operation ? -1 : 1))
  console.log(JSON.stringify(at));
console.log(JSON.stringify({ all: n, faults, operations: document.operations.length,
  without: document.operations.map((o) => `${o.method} ${o.path}`).filter((o) => !seen.has(o)) }));
process.exitCode = faults ? 1 : 0;
