// tap.mjs - TAP and waiting, for tests in Node.
//
//   ok(what, condition)          one case
//   is(what, got, want)          passes when both are the same
//   await step(what, async () => …)   passes unless it throws or returns false
//   await until(what, async () => …)  waits for something true; throws after
//                                WAIT_MS
//   done()                       the plan; the exit status

// A busy machine is slow; nothing here measures time.
export const WAIT_MS = 60_000;

let n = 0;
let failed = 0;

export function diag(text) {
  for (const line of String(text).split('\n')) console.log(`# ${line}`);
}

export function ok(what, condition) {
  n++;
  if (!condition) failed++;
  console.log(`${condition ? 'ok' : 'not ok'} ${n} - ${what}`);
  return Boolean(condition);
}

export function is(what, got, want) {
  if (!ok(what, got === want)) {
    diag(`got:  ${JSON.stringify(got)}`);
    diag(`want: ${JSON.stringify(want)}`);
  }
}

export async function step(what, work) {
  try {
    return ok(what, (await work()) !== false);
  } catch (e) {
    ok(what, false);
    diag(e.message);
    return false;
  }
}

export async function until(what, condition) {
  const deadline = Date.now() + WAIT_MS;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > deadline) throw new Error(`waited in vain: ${what}`);
    await new Promise((r) => setTimeout(r, 50));
  }
}

export function done() {
  console.log(`1..${n}`);
  process.exitCode = failed ? 1 : 0;
}

export const failures = () => failed;
