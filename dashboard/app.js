// app.js - the operator's and tenant's page: talks to the REST API only.
// Whatever comes from the API is written by textContent and class names from
// a fixed alphabet, so that no name and no console can become markup.

const REFRESH_MS = 3000;
const PAGE = 1000;
const LOG_BYTES = 65536;
const $ = (id) => document.getElementById(id);

let token = "";
let round = 0; // counts sign-ins and sign-outs: replies to older ones are void
let turn = 0;  // counts refreshes: an older one that comes late is void
let timer = 0;
let outage = false;
let operator = false;
let logOf = null; // the instance whose console is shown

// ---- the API ----

class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function call(method, path, body) {
  const headers = { Authorization: `Bearer ${token}` };
  if (method === "POST") headers["Idempotency-Key"] = crypto.randomUUID();
  if (body) headers["Content-Type"] = "application/json";
  let reply;
  try {
    reply = await fetch(path, {
      method, headers, cache: "no-store", signal: AbortSignal.timeout(20000),
      body: body && JSON.stringify(body),
    });
  } catch {
    throw new ApiError(0, "The controller cannot be reached.");
  }
  if (reply.ok) return reply;
  const problem = await reply.json().catch(() => ({}));
  const first = problem.detail || `The controller answered ${reply.status}.`;
  throw new ApiError(reply.status, first[0].toUpperCase() + first.slice(1));
}

const get = async (path) => (await call("GET", path)).json();

// ---- words and numbers ----

function span(seconds) {
  const s = Math.max(0, Math.floor(seconds));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor(s / 60) % 60} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor(s / 3600) % 24} h`;
}
const age = (time) => (time ? span((Date.now() - Date.parse(time)) / 1000) : "–");
// Decimal strings stay strings: cut, never turned into floats.
const short = (decimal) => decimal.replace(/(\.\d{3})\d+$/, "$1");
function size(bytes) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let n = bytes, u = 0;
  for (; n >= 1024 && u < units.length - 1; u++) n /= 1024;
  return `${Number.isInteger(n) ? n : n.toFixed(1)} ${units[u]}`;
}
// A console without its colours and cursor movements.
const plain = (text) => text
  .replace(/\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)?|.)/g, "")
  .replace(/\r+\n/g, "\n").replace(/[^\P{Cc}\n\t]/gu, "");

// ---- tables ----

function set(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

// Rows are kept by id and changed in place: focus and reading position stay.
function fill(tableId, items, empty, update) {
  const body = $(tableId).tBodies[0];
  const rows = new Map([...body.rows].map((r) => [r.dataset.id, r]));
  const columns = $(tableId).tHead.rows[0].cells;
  items.forEach((item, i) => {
    const id = item.id || item.instance_id;
    let row = rows.get(id);
    rows.delete(id);
    if (!row) {
      row = document.createElement("tr");
      row.dataset.id = id;
      for (const head of columns) {
        const cell = document.createElement(row.cells.length ? "td" : "th");
        if (cell.tagName === "TH") cell.scope = "row";
        cell.className = head.className;
        row.append(cell);
      }
    }
    if (body.rows[i] !== row) body.insertBefore(row, body.rows[i] || null);
    update(row.cells, item);
  });
  for (const row of rows.values()) row.remove();
  if (items.length) return;
  const cell = body.insertRow().insertCell();
  cell.colSpan = columns.length;
  cell.className = "empty";
  cell.textContent = empty;
}

function state(cell, word, detail) {
  let mark = cell.firstChild;
  if (!mark) cell.append(mark = document.createElement("span"));
  mark.className = `state ${word.replace(/[^a-z]/g, "")}`;
  set(mark, word);
  if (detail && !mark.nextSibling) cell.append(document.createElement("small"));
  if (mark.nextSibling) set(mark.nextSibling, detail || "");
}

// ---- instances ----

const ACTIONS = [
  { name: "Start", on: ["stopped", "error"], verb: "start" },
  { name: "Stop", verb: "stop", body: { force: false },
    on: ["running", "creating", "starting", "rebooting"],
    ask: (n) => `Stop ${n}? Its power button is pressed; if the guest does ` +
      "not obey, it is ended by force." },
  { name: "Force stop", verb: "stop", body: { force: true }, on: ["stopping"],
    ask: (n) => `End ${n} by force? It gets no time to save anything.` },
  { name: "Reboot", on: ["running"], verb: "reboot",
    ask: (n) => `Reboot ${n}?` },
  { name: "Log", show: showLog },
  { name: "Delete", danger: true,
    ask: (n) => `Delete ${n} and its disk? This cannot be undone.` },
];

async function act(action, instance) {
  if (action.show) return action.show(instance);
  if (action.ask && !(await confirmed(action.ask(instance.name), action.name)))
    return;
  const path = `/v1/instances/${encodeURIComponent(instance.id)}`;
  const now = round;
  try {
    if (action.verb) await call("POST", `${path}/${action.verb}`, action.body);
    else await call("DELETE", path);
    if (now === round)
      set($("notice"), `${action.name}: asked for ${instance.name}.`);
  } catch (e) {
    if (now === round) failed(e, `${action.name} ${instance.name}: `);
  }
  if (now === round) refresh();
}

function instanceRow(c, i, projects, nodes) {
  set(c[0], i.name);
  state(c[1], i.state, i.fault ? i.fault.message :
    i.state === "stopped" && i.stop_reason !== "requested" ? i.stop_reason : "");
  set(c[2], i.flavor);
  set(c[3], i.image);
  set(c[4], projects.get(i.project_id) || "");
  set(c[5], nodes.get(i.node_id) || "");
  set(c[6], age(i.created_at));
  const box = c[7];
  box.classList.add("actions");
  ACTIONS.forEach((action, k) => {
    let b = box.children[k];
    if (!b) {
      b = document.createElement("button");
      b.type = "button";
      b.textContent = action.name;
      if (action.danger) b.className = "danger";
      b.addEventListener("click", () => act(action, b.instance));
      box.append(b);
    }
    b.instance = i;
    b.setAttribute("aria-label", `${action.name} ${i.name}`);
    b.hidden = action.name === "Force stop" ? i.state !== "stopping" :
      action.name === "Stop" && i.state === "stopping";
    b.disabled = action.on ? !action.on.includes(i.state) :
      action.danger ? i.state === "deleting" : false;
  });
}

function confirmed(question, verb) {
  const box = $("confirm");
  const [no, yes] = box.querySelectorAll("button");
  set($("confirm-text"), question);
  set(yes, verb);
  return new Promise((done) => {
    no.onclick = () => box.close("no");
    yes.onclick = () => box.close("yes");
    box.onclose = () => done(box.returnValue === "yes");
    box.returnValue = "";
    box.showModal();
  });
}

async function showLog(instance) {
  logOf = instance;
  set($("log-title"), `Console of ${instance.name}`);
  set($("log-text"), "Reading …");
  $("log").showModal();
  await readLog();
}

async function readLog() {
  const instance = logOf, pre = $("log-text");
  const atEnd = pre.scrollTop + pre.clientHeight >= pre.scrollHeight - 4;
  let text;
  try {
    const id = encodeURIComponent(instance.id);
    const reply = await call("GET",
      `/v1/instances/${id}/console-log?limit=${LOG_BYTES}`);
    text = plain(await reply.text()) || "Nothing was written yet.";
  } catch (e) {
    text = e.message;
  }
  if (logOf !== instance) return;
  set(pre, text);
  if (atEnd) pre.scrollTop = pre.scrollHeight;
}

// ---- the page ----

async function load(stale) {
  const none = { items: [] };
  const [instances, usage, operations, nodes, projects] = await Promise.all([
    get(`/v1/instances?limit=${PAGE}`), get("/v1/usage?limit=100"),
    get("/v1/operations?limit=10"),
    operator ? get(`/v1/nodes?limit=${PAGE}`) : none,
    operator ? get(`/v1/projects?limit=${PAGE}`) : none,
  ]);
  if (stale()) return;
  const name = (list) => new Map(list.items.map((x) => [x.id, x.name]));
  const more = (page) => `${page.items.length}` +
    (page.next_page_token ? " shown, there are more" : "");
  const projectNames = name(projects), nodeNames = name(nodes);
  const instanceNames = name(instances);
  for (const u of usage.items) instanceNames.set(u.instance_id, u.instance_name);
  set($("n-instances"), more(instances));
  fill("instances", instances.items, "No instances yet.", (c, i) =>
    instanceRow(c, i, projectNames, nodeNames));
  for (const dd of $("usage-sum").querySelectorAll("dd")) {
    const value = usage[dd.dataset.field];
    set(dd, dd.dataset.field === "running_seconds" ? span(parseInt(value, 10))
      : short(value));
  }
  fill("usage", usage.items, "Nothing ran this month.", (c, u) => {
    set(c[0], u.instance_name);
    set(c[1], span(parseInt(u.running_seconds, 10)));
    set(c[2], short(u.vcpu_hours));
    set(c[3], short(u.memory_gib_hours));
    set(c[4], short(u.disk_gib_hours));
  });
  const running = operations.items.filter((o) => o.state === "running").length;
  set($("n-operations"), `${running} running of the latest ${
    operations.items.length}`);
  fill("operations", operations.items, "No operations yet.", (c, o) => {
    set(c[0], o.kind);
    set(c[1], instanceNames.get(o.resource_id) || o.resource_id);
    state(c[2], o.state, o.problem && o.problem.message);
    set(c[3], o.step || "");
    set(c[4], `${age(o.created_at)} ago`);
  });
  set($("n-nodes"), more(nodes));
  fill("nodes", nodes.items, "No node has joined.", (c, n) => {
    const strangers = (n.quarantined || []).length;
    set(c[0], n.name);
    state(c[1], n.state, [n.schedulable ? "" : "cordoned",
      strangers ? `${strangers} unknown VMs` : ""].filter(Boolean).join(", "));
    set(c[2], [...new Set([n.driver, n.accel])].filter(Boolean).join(", "));
    set(c[3], `${n.instances}`);
    set(c[4], `${n.vcpus_claimed} of ${n.vcpus_limit}`);
    set(c[5], `${size(n.memory_claimed_bytes)} of ${size(n.memory_limit_bytes)}`);
    set(c[6], `${size(n.disk_claimed_bytes)} of ${size(n.disk_limit_bytes)}`);
    set(c[7], n.last_seen_at ? `${age(n.last_seen_at)} ago` : "–");
  });
}

function showError(text) {
  $("error").hidden = !text;
  set($("error"), text);
}

function failed(e, prefix = "") {
  if (e instanceof ApiError && e.status === 401) signOut(e.message);
  else showError(prefix + (e instanceof ApiError ? e.message :
    "The page cannot show what the controller answered."));
  if (!(e instanceof ApiError)) console.error(e);
}

async function refresh() {
  const now = round, mine = ++turn;
  const stale = () => now !== round || mine !== turn;
  clearTimeout(timer);
  try {
    if (logOf) await readLog();
    await load(stale);
    if (stale()) return;
    if (outage) showError("");
    outage = false;
  } catch (e) {
    if (stale()) return;
    outage = true;
    failed(e);
  }
  if (now === round) timer = setTimeout(refresh, REFRESH_MS);
}

async function signIn(text) {
  const now = ++round;
  token = text.trim();
  showError("");
  try {
    if (/[^!-~]/.test(token)) throw new ApiError(401, "This is not a token.");
    const who = await get("/v1/whoami");
    if (now !== round) return;
    operator = who.role === "operator";
    sessionStorage.setItem("virga-token", token);
    document.body.classList.toggle("tenant", !operator);
    set($("who"), `${who.token_name} (${who.role})`);
  } catch (e) {
    if (now === round) failed(e);
    if (now === round && token) signOut($("error").textContent);
    return;
  }
  $("token").value = "";
  $("login").hidden = true;
  $("app").hidden = $("sign-out").hidden = false;
  refresh();
}

function signOut(why) {
  round++;
  clearTimeout(timer);
  token = "";
  outage = false;
  sessionStorage.removeItem("virga-token");
  for (const d of document.querySelectorAll("dialog[open]")) d.close("no");
  for (const b of document.querySelectorAll("tbody")) b.replaceChildren();
  set($("who"), "");
  set($("notice"), "");
  $("app").hidden = $("sign-out").hidden = true;
  $("login").hidden = false;
  showError(why);
  $("token").focus();
}

$("login-form").addEventListener("submit", (event) => {
  event.preventDefault();
  signIn($("token").value);
});
$("sign-out").addEventListener("click", () => signOut(""));
$("log-close").addEventListener("click", () => $("log").close());
$("log").addEventListener("close", () => { logOf = null; });

const kept = sessionStorage.getItem("virga-token");
if (kept) signIn(kept);
else signOut("");
