// live.mjs - every operation of the API's document against a live controller:
// bodies, paths and queries made from the document, right and wrong. Each reply
// must be one that the document has (checked by ajv, nothing undocumented in
// it), no 5xx but a refusal that says when to come again, an error of a body
// must name the field, and nothing of another tenant may show.
//
//   node live.mjs DOCUMENT RUNS SEED
//
// VIRGA_URL, VIRGA_CA; TOKENS: JSON, a token for each role; LOGIN: JSON, body of
// a login for the requests of sessions, by bearer and by cookie; NAMES: JSON, names
// and ids to put into paths and references; CANARIES: JSON, texts that only the
// other tenant's objects have. Prints one JSON line per operation; status 1
// when any fault was found.
import fc from "fast-check";
import fs from "node:fs";
import https from "node:https";
import { Document, odd } from "./schema.mjs";

const [file, runs, seed] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])];
const document = new Document(fs.readFileSync(file, "utf8"));
const tokens = JSON.parse(process.env.TOKENS);
const names = JSON.parse(process.env.NAMES);
const canaries = JSON.parse(process.env.CANARIES);
const base = new URL(process.env.VIRGA_URL);
const agent = new https.Agent({ keepAlive: true, maxSockets: 8, ca: fs.readFileSync(process.env.VIRGA_CA) });

function call(method, path, headers, body) {
  return new Promise((resolve, reject) => {
    const rq = https.request({ agent, method, host: base.hostname, port: base.port, path, headers,
      timeout: 60000 }, (res) => {
      const parts = [];
      res.on("data", (part) => parts.push(part));
      res.on("error", reject);
      res.on("end", () => resolve({ status: res.statusCode, headers: res.headers,
        type: res.headers["content-type"], text: Buffer.concat(parts).toString() }));
    });
    rq.on("error", reject);
    rq.on("timeout", () => rq.destroy(new Error("no answer for 60 s")));
    rq.on("upgrade", (res, socket) => {
      socket.destroy();
      resolve({ status: res.statusCode, headers: res.headers, text: "" });
    });
    rq.end(body);
  });
}

// A flood is refused with the time to come again, which is right: do so.
async function patient(method, path, headers, body) {
  for (;;) {
    const reply = await call(method, path, headers, body);
    if (reply.status !== 429) return reply;
    const wait = Number(reply.headers["retry-after"]);
    if (!(wait > 0)) throw new Error("429 without Retry-After");
    if (wait > 30) return reply;
    await new Promise((done) => setTimeout(done, wait * 1000));
  }
}

// Sessions end by what is tried here: there is one whenever one is needed.
const sessions = { bearer: null, cookie: null };
async function signIn(kind) {
  const body = JSON.stringify({ ...JSON.parse(process.env.LOGIN), cookie: kind === "cookie" });
  const reply = await patient("POST", "/v1/login", { "Content-Type": "application/json" }, body);
  if (reply.status !== 201) throw new Error(`the login: ${reply.status} ${reply.text}`);
  const session = JSON.parse(reply.text);
  sessions[kind] = kind === "bearer" ? { Authorization: `Bearer ${session.token}` }
    : { Cookie: reply.headers["set-cookie"][0].split(";")[0], "X-CSRF-Token": session.csrf_token };
}
async function freshSessions() {
  for (const kind of Object.keys(sessions)) {
    const known = sessions[kind] && await patient("GET", "/v1/whoami", sessions[kind]);
    if (known?.status !== 200) await signIn(kind);
  }
}
// The headers by which a principal is known.
function credentials(who) {
  if (who === "cookie without CSRF token") return { Cookie: sessions.cookie.Cookie };
  return sessions[who] || { Authorization: `Bearer ${tokens[who]}` };
}

const param = fc.oneof({ weight: 6, arbitrary: fc.constantFrom(...names) },
  { weight: 1, arbitrary: fc.string({ minLength: 1, maxLength: 80 }) },
  { weight: 1, arbitrary: fc.constantFrom("..", ".", "%00", "%2e%2e", "a%2Fb", "%zz", "%", "~", "*") });
const pathOf = (pattern) => {
  const parts = pattern.split(/\{[^}]*\}/);
  return fc.array(param, { minLength: parts.length - 1, maxLength: parts.length - 1 }).map((given) =>
    parts.reduce((s, part, i) => s + (given[i - 1].startsWith("%") ? given[i - 1]
      : encodeURIComponent(given[i - 1].toWellFormed())) + part));
};
const QUERY = ["", "0", "1", "-1", "10", "1s", "0s", "1001", "true", "state=running", "label.a=b",
  "!label.a", "a=b", "2026-11-01T00:00:00Z", "9".repeat(30), "a,b,c", "instance.*", "%ff"];
const queryOf = (op) => {
  const known = (op.parameters || []).filter((p) => p.in === "query" && p.name !== "wait")
    .map((p) => p.name);
  const name = fc.oneof({ weight: 5, arbitrary: fc.constantFrom(...known, "limit") },
    { weight: 1, arbitrary: fc.constantFrom("surplus", "a".repeat(500), "%00", "") });
  const value = fc.oneof(fc.constantFrom(...QUERY), fc.constantFrom(...names));
  return fc.array(fc.tuple(name, value), { maxLength: 2 }).map((given) => given.length === 0 ? ""
    : "?" + given.map(([k, v]) => `${k}=${v.startsWith("%") ? v : encodeURIComponent(v)}`).join("&"));
};
const headersOf = fc.record({
  who: fc.constantFrom(...Object.keys(tokens), "bearer", "cookie", "cookie without CSRF token"),
  "Idempotency-Key": fc.option(fc.constantFrom("a", "b", "c".repeat(129), "ü"), { nil: undefined, freq: 8 }),
  "If-Match": fc.option(fc.constantFrom('"1"', '"2"', "*", "1", '"', 'W/"1"'), { nil: undefined, freq: 3 }),
  "X-Request-Id": fc.option(fc.constantFrom("fuzz-1", "x".repeat(500), "a b"), { nil: undefined, freq: 9 }),
});

function bodyOf(op) {
  const content = op.requestBody?.content;
  if (!content) return fc.constant([undefined, undefined]);
  const json = content["application/json"];
  if (!json) return fc.tuple(fc.constant("application/octet-stream"), fc.string({ maxLength: 200 }));
  const text = fc.oneof(document.good(json.schema, names).map((v) => JSON.stringify(v)),
    document.bad(json.schema, names));
  const type = fc.oneof({ weight: 12, arbitrary: fc.constant("application/json") },
    { weight: 1, arbitrary: fc.constantFrom("text/plain", "application/json; charset=utf-8", "", "x") });
  return fc.tuple(type, text);
}

// A pointer of an error leads to something that was sent, or could have been.
function pointerFault(pointer, path, sent) {
  if (pointer.startsWith("?")) return null;
  if (pointer === "" || pointer.startsWith("/") || /^[A-Z]/.test(pointer)) return null;
  return `the pointer "${pointer}" is of no known form (${path}, ${sent})`;
}

function faultOf(operation, reply, path, sent) {
  if (reply.status >= 500 && !(reply.status === 503 && reply.headers["retry-after"]) &&
      !(reply.status === 507))
    return `status ${reply.status}: ${reply.text.slice(0, 300)}`;
  // The audit log repeats paths that were asked for, also those that lead nowhere.
  const shown = operation.path === "/v1/audit" ? reply.text.replace(/"path":"[^"]*"/g, "") : reply.text;
  const leak = canaries.find((text) => shown.includes(text) && !sent.includes(text));
  if (leak) return `shows "${leak}" of another tenant`;
  if (reply.status >= 400) {
    let problem;
    try {
      problem = JSON.parse(reply.text);
    } catch {
      return `an error without a problem document: ${reply.status} ${reply.text.slice(0, 200)}`;
    }
    if (!problem.code || !problem.detail || problem.status !== reply.status)
      return `an incomplete problem document: ${reply.text.slice(0, 300)}`;
    if (problem.request_id !== reply.headers["x-request-id"])
      return "request_id is not that of the header";
    for (const e of problem.errors || []) {
      const wrong = pointerFault(e.pointer, path, sent);
      if (wrong) return wrong;
    }
    // A body refused for a field says for which.
    if (reply.status === 400 && ["invalid", "invalid_field"].includes(problem.code) &&
        !(problem.errors || []).length)
      return `names no field: ${reply.text.slice(0, 300)}`;
  }
  return document.fault(operation, reply);
}

let bad = 0;
async function attack(operation) {
  const { path: pattern, method, op } = operation;
  const seen = {};
  let count = 0;
  const property = fc.asyncProperty(pathOf(pattern), queryOf(op), headersOf, bodyOf(op),
    async (path, query, { who, ...headers }, [type, body]) => {
      const clean = { ...credentials(who),
        ...Object.fromEntries(Object.entries(headers).filter(([, v]) => v !== undefined)) };
      if (clean["Idempotency-Key"] === "ü") clean["Idempotency-Key"] = "\u00fc";
      if (type !== undefined && type !== "") clean["Content-Type"] = type;
      if (body !== undefined) clean["Content-Length"] = Buffer.byteLength(body.toWellFormed());
      const sent = path + query + (body || "");
      const reply = await patient(method, path + query, clean, body?.toWellFormed());
      count++;
      seen[reply.status] = (seen[reply.status] || 0) + 1;
      const fault = faultOf(operation, reply, path, sent);
      if (fault) throw new Error(fault);
    });
  const result = await fc.check(property, { numRuns: runs, seed, endOnFailure: false,
    interruptAfterTimeLimit: 120000 });
  const line = { operation: `${method} ${pattern}`, requests: count, statuses: seen };
  if (result.failed) {
    bad++;
    line.fault = String(result.errorInstance?.message || result.errorInstance || "interrupted");
    line.counterexample = JSON.stringify(result.counterexample)?.slice(0, 600);
    line.seed = seed;
  }
  console.log(JSON.stringify(line));
}

for (const operation of document.operations) {
  await freshSessions();
  await attack(operation);
}
agent.destroy();
process.exitCode = bad ? 1 : 0;
