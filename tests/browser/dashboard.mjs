// dashboard.mjs - the page in Chromium, as an operator and a tenant use it.
import { appendFile, mkdir } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import { Cloud } from './cloud.mjs';
import { diag, done, is, ok, step, until, WAIT_MS } from './tap.mjs';

const shots = process.env.VIRGA_SHOTS;
const axe = await readFile(
  createRequire(import.meta.url).resolve('axe-core/axe.min.js'),
  'utf8',
);
const XSS = '<img src=x onerror="document.title=1"></pre><script>1</script>';
const PASSWORD = 'correct horse battery';

const cloud = await Cloud.make();
let browser;

/** A window of its own, with what it did that it should not have done. */
async function open(options = {}) {
  const context = await browser.newContext({
    ignoreHTTPSErrors: true, // the cloud's own CA
    viewport: { width: 1280, height: 900 },
    ...options,
  });
  context.setDefaultTimeout(WAIT_MS);
  await context.addInitScript(() => {
    document.addEventListener('securitypolicyviolation', (e) => {
      console.error(`Content Security Policy: ${e.violatedDirective}`);
    });
  });
  const page = await context.newPage();
  const faults = [];
  page.on('pageerror', (e) => faults.push(`error: ${e.message}`));
  page.on('console', (m) => {
    if (/Content Security Policy|TrustedHTML/.test(m.text()))
      faults.push(m.text());
  });
  page.on('request', (r) => {
    if (new URL(r.url()).origin !== new URL(cloud.url).origin)
      faults.push(`request to ${r.url()}`);
  });
  return { context, page, faults };
}

async function shot(page, name) {
  if (!shots) return;
  await mkdir(shots, { recursive: true });
  await page.screenshot({ path: join(shots, `${name}.png`) });
}

/** Findings of axe-core that matter: WCAG 2 A and AA, serious or critical. */
async function accessible(what, page) {
  const cdp = await page.context().newCDPSession(page);
  // By the debugger: the page's own policy allows no script from elsewhere.
  const evaluate = async (expression) => {
    const r = await cdp.send('Runtime.evaluate', {
      expression,
      awaitPromise: true,
      returnByValue: true,
    });
    if (r.exceptionDetails)
      throw new Error(r.exceptionDetails.exception.description);
    return r.result.value;
  };
  await step(`accessible: ${what}`, async () => {
    await evaluate(`${axe}; 1`);
    const found = await evaluate(`axe.run(document, {
      runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'],
    }).then((r) => r.violations
      .filter((v) => v.impact === 'serious' || v.impact === 'critical')
      .map((v) => v.id + ': ' + v.nodes[0].html + ' ' +
        v.nodes[0].failureSummary))`);
    if (found.length) throw new Error(found.join('\n'));
  });
  await cdp.detach();
}

const row = (page, table, name) =>
  page.locator(`#${table} tbody tr`).filter({
    has: page.getByRole('rowheader', { name, exact: true }),
  });

/** Waits for a text somewhere. */
const shows = (place, text) =>
  place.filter({ hasText: text }).first().waitFor({ timeout: WAIT_MS });

async function signIn(page, user, password = PASSWORD) {
  await page.getByLabel('User').fill(user);
  await page.getByLabel('Password').fill(password);
  await page.getByRole('button', { name: 'Sign in', exact: true }).click();
}

const byMenu = (page, name) =>
  page.locator('.menu').getByRole('link', { name }).click();

const action = (page, name) =>
  page.locator('main > .actions').getByRole('button', { name, exact: true });

const yes = (page) => page.locator('#confirm [data-answer=yes]').click();

async function launch(name, more = {}, options = {}) {
  return cloud.rest(
    'POST',
    '/v1/instances',
    { name, image: 'tiny', flavor: 'small', ...more },
    options,
  );
}

async function run() {
  await cloud.startController();
  await cloud.startAgent('node-1');
  await cloud.furnish();
  await cloud.rest('POST', '/v1/projects', { name: 'acme' });
  await cloud.rest('POST', '/v1/users', {
    name: 'ada',
    password: PASSWORD,
    operator: true,
  });
  await cloud.rest('POST', '/v1/users', {
    name: 'bob',
    password: PASSWORD,
    project: 'acme',
    role: 'member',
  });
  ok('controller and agent start', true);
  browser = await chromium.launch({
    executablePath: '/usr/bin/chromium',
    args: [
      ...(process.getuid() === 0 ? ['--no-sandbox'] : []),
      // Nothing but this machine has a name or an address.
      '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1',
      '--disable-dev-shm-usage',
      '--disable-background-networking',
    ],
  });
  await operator();
  await phone();
  await served();
}

// ---- an operator at a desk ----

async function operator() {
  const { context, page, faults } = await open();
  const url = `${cloud.url}/`;

  await page.goto(url);
  await step('sign-in form is shown', () =>
    page.getByRole('heading', { name: 'Sign in' }).waitFor(),
  );
  is(
    'the focus is in its first field',
    await page.evaluate(() => document.activeElement.id),
    'user',
  );
  await shot(page, 'sign-in');
  await accessible('sign-in', page);
  await signIn(page, 'ada', 'not the password');
  await step('wrong password: says so', async () => {
    await page.locator('#login-error p').first().waitFor();
  });
  is(
    'wrong password: nothing else is shown',
    await page.locator('#app').count(),
    0,
  );
  is(
    'wrong password: it is forgotten',
    await page.getByLabel('Password').inputValue(),
    '',
  );

  // By keyboard alone: the focus is where the next input goes.
  await page.reload();
  await page.getByLabel('User').waitFor();
  await page.keyboard.type('ada');
  await page.keyboard.press('Tab');
  await page.keyboard.type(PASSWORD);
  await page.keyboard.press('Enter');
  await step('signed in, by keyboard alone', () =>
    shows(page.locator('#who'), 'ada (operator)'),
  );
  is('no error is left', await page.locator('#error').innerText(), '');
  is(
    'nothing is kept where scripts can read it',
    await page.evaluate(
      () => document.cookie + localStorage.length + sessionStorage.length,
    ),
    '00',
  );
  const cookies = await context.cookies();
  ok(
    'the session is a cookie for this server, over TLS, out of reach of scripts',
    cookies.length === 1 &&
      cookies[0].httpOnly &&
      cookies[0].secure &&
      cookies[0].sameSite === 'Strict',
  );
  await step('empty cloud: says so', () =>
    shows(page.locator('#instances'), 'No instances yet.'),
  );
  await step('it is live', () => shows(page.locator('#live'), /^live$/));
  await page.reload();
  await step('signed in still, after a reload', () =>
    shows(page.locator('#who'), 'ada (operator)'),
  );

  await byMenu(page, 'Nodes');
  await step('operator sees the node and what it has', () =>
    shows(row(page, 'nodes', 'node-1'), /up.*0 of \d+.*GiB/s),
  );
  ok(
    'the view gone to has the focus',
    await page.evaluate(() => document.activeElement.tagName === 'H1'),
  );
  await page
    .getByRole('button', { name: 'Cordon node-1', exact: true })
    .click();
  await step('cordon: is shown', () =>
    shows(row(page, 'nodes', 'node-1'), 'cordoned'),
  );
  is(
    'cordon: the controller says the same',
    (await cloud.rest('GET', '/v1/nodes/node-1')).schedulable,
    false,
  );
  await page.getByRole('button', { name: 'Uncordon node-1' }).click();
  await step('uncordon', () =>
    page.getByRole('button', { name: 'Cordon node-1', exact: true }).waitFor(),
  );
  await shot(page, 'nodes');
  await accessible('nodes', page);
  await page.getByRole('link', { name: 'node-1' }).click();
  await step('a node has its traits', () =>
    page.locator('#traits li').first().waitFor(),
  );
  await accessible('a node', page);

  await life(page);
  await stuck(page);
  await usageAndEvents(page);
  await outage(page);
  await xss(page);

  // ---- the end ----
  await page.goto(`${url}#/instances`);
  await row(page, 'instances', 'web-2').waitFor();
  await page.locator('#sign-out').click();
  await step('signed out', () => page.getByLabel('User').waitFor());
  is('signed out: the cookie is gone', (await context.cookies()).length, 0);
  is('signed out: no row is left', await page.locator('tbody tr').count(), 0);
  const [{ name, value }] = cookies;
  is(
    'signed out: the old cookie opens nothing',
    (
      await cloud.http('GET', '/v1/whoami', {
        token: '',
        headers: { Cookie: `${name}=${value}` },
      })
    ).status,
    401,
  );
  await page.goBack();
  await step('signed out: the back button shows nothing', async () => {
    await page.getByLabel('User').waitFor();
    return (await page.locator('#app').count()) === 0;
  });
  await byToken(page);
  is('the page did nothing that it may not', faults.join('\n'), '');
  await context.close();
}

async function life(page) {
  await byMenu(page, 'Instances');
  const web = await launch('web-1');
  const url = page.url();
  await step('an instance made elsewhere shows up and runs, by itself', () =>
    shows(
      row(page, 'instances', 'web-1'),
      /web-1\s*running\s*small\s*tiny\s*default\s*node-1/,
    ),
  );
  await launch('web-2', { restart_policy: 'always' });
  await row(page, 'instances', 'web-2').waitFor();
  await cloud.virga('instance', 'stop', 'web-2', '--wait');
  await step(
    'stopped by the command line: is seen without a reload',
    async () => {
      await shows(row(page, 'instances', 'web-2'), 'stopped');
      return page.url() === url;
    },
  );
  await shot(page, 'instances');
  await accessible('instances', page);
  await page.locator('#filter-state').selectOption('stopped');
  await step('filter by state', async () => {
    await until('only the stopped one is listed', async () => {
      const names = await page.locator('#instances tbody th').allInnerTexts();
      return names.join() === 'web-2';
    });
    return page.url().endsWith('?state=stopped');
  });
  await page.locator('#filter-state').selectOption('');
  await page.locator('#filter').fill('nonsense=1');
  await page.locator('#filter').press('Enter');
  await step('a wrong filter: says what is wrong with it', () =>
    shows(page.locator('main .problem'), 'filter'),
  );
  await page.locator('#filter').fill('');
  await page.locator('#filter').press('Enter');

  await row(page, 'instances', 'web-1')
    .getByRole('link', { name: 'web-1' })
    .click();
  const log = cloud.path('agent/instances', web.id, 'console.log');
  await step('console: shows what the guest wrote', () =>
    shows(page.locator('#log-text'), 'web-1 ready'),
  );
  await appendFile(log, `\x1b[31m${XSS}\x1b[0m\n`);
  await step('console: goes on; markup is text, colours are dropped', () =>
    shows(page.locator('#log-text'), XSS),
  );
  is(
    'console: nothing in it became an element',
    await page.locator('#log-text *').count(),
    0,
  );
  await shows(page.locator('#history'), 'instance.create');
  ok('its creation is among its operations', true);
  await shot(page, 'instance');
  await accessible('an instance', page);

  const state = page.locator('#instance-state');
  await action(page, 'Stop').click();
  await step('stop: asks first', () =>
    shows(page.locator('#confirm'), 'Stop web-1?'),
  );
  await shot(page, 'confirm');
  await accessible('a question', page);
  await page.keyboard.press('Escape');
  await page.locator('#confirm').waitFor({ state: 'detached' });
  is(
    'stop: cancelled, nothing happens',
    (await cloud.rest('GET', '/v1/instances/web-1')).state,
    'running',
  );
  is(
    'stop: the focus is back at its button',
    await page.evaluate(() => document.activeElement.textContent),
    'Stop',
  );
  await action(page, 'Stop').click();
  await yes(page);
  await step('stop: its end is seen', () => shows(state, 'stopped'));
  is(
    'stop: the controller says the same',
    (await cloud.rest('GET', '/v1/instances/web-1')).state,
    'stopped',
  );
  await action(page, 'Start').click();
  await step('start: by a click, without a question', () =>
    shows(state, 'running'),
  );
  await action(page, 'Reboot').click();
  await yes(page);
  await step('reboot: runs again', async () => {
    await shows(page.locator('#history'), 'instance.reboot');
    await until('the reboot is over', async () => {
      const i = await cloud.rest('GET', '/v1/instances/web-1');
      return i.state === 'running' && i.run === 3;
    });
    await shows(state, 'running');
  });
  await action(page, 'Pause').click();
  await step('pause', () => shows(state, 'paused'));
  await action(page, 'Resume').click();
  await step('resume', () => shows(state, 'running'));
  await action(page, 'Lock').click();
  await step('lock: what a lock forbids is disabled', async () => {
    await action(page, 'Unlock').waitFor();
    return action(page, 'Delete').isDisabled();
  });
  await action(page, 'Unlock').click();
  await action(page, 'Lock').waitFor();
  await cloud.rest('PATCH', '/v1/instances/web-1', { locked: true });
  await action(page, 'Unlock').waitFor();
  await cloud.rest('PATCH', '/v1/instances/web-1', { locked: false });
  await action(page, 'Lock').waitFor();
  ok('a lock set elsewhere is seen', true);
  await action(page, 'Delete').click();
  await yes(page);
  await step('delete: the row goes', () =>
    row(page, 'instances', 'web-1').waitFor({ state: 'detached' }),
  );
  ok(
    'delete: the focus is not lost to what is gone',
    await page.evaluate(() => document.activeElement.isConnected),
  );
}

/** An operation whose node does not report does not come to its end. */
async function stuck(page) {
  await byMenu(page, 'Operations');
  await shows(page.locator('#stuck'), 'Nothing is stuck.');
  ok('nothing is stuck', true);
  const { id } = await cloud.rest('GET', '/v1/instances/web-2');
  cloud.agent.kill('SIGSTOP');
  let resumed = false;
  try {
    await cloud.rest('POST', '/v1/instances/web-2/start');
    const stuckRow = page.locator('#stuck tbody tr').filter({
      hasText: 'instance.start',
    });
    await step('stuck operation: is shown, with its reason', () =>
      shows(stuckRow, /web-2.*stuck/s),
    );
    await step('stuck operation: counted beside the menu', () =>
      shows(page.locator('#n-stuck'), '1'),
    );
    await shot(page, 'stuck');
    await accessible('stuck operations', page);
    await stuckRow.getByRole('button', { name: /^Retry/ }).click();
    await step('stuck operation: retried', async () => {
      await shows(page.locator('#notice'), 'Retry instance.start');
      await until('its attempts are counted', async () => {
        const { items } = await cloud.rest(
          'GET',
          `/v1/operations?filter=resource_id=${id}`,
        );
        return items.some((o) => o.attempt > 1);
      });
    });
    cloud.agent.kill('SIGCONT');
    resumed = true;
    await step('stuck operation: comes to its end with its node', () =>
      shows(page.locator('#stuck'), 'Nothing is stuck.'),
    );
  } finally {
    if (!resumed) cloud.agent.kill('SIGCONT');
  }
  await until('web-2 runs', async () => {
    const i = await cloud.rest('GET', '/v1/instances/web-2');
    return i.state === 'running';
  });
}

async function usageAndEvents(page) {
  await byMenu(page, 'Usage');
  await step('usage grows', () =>
    shows(row(page, 'usage', 'web-2'), /[1-9]\d* (s|min)/),
  );
  await step('usage has its sum', () =>
    shows(page.locator('#usage-sum'), /Running\s*[1-9]\d* (s|min)/),
  );
  await page.locator('#period').selectOption('last-month');
  await step('usage of another period', () =>
    shows(page.locator('#usage'), 'Nothing ran in this period.'),
  );
  await page.locator('#period').selectOption('month');
  await row(page, 'usage', 'web-2').waitFor();
  await shot(page, 'usage');
  await accessible('usage', page);
  await byMenu(page, 'Events');
  await step('events: what happened before the page was opened, too', () =>
    shows(page.locator('#events'), 'instance.created'),
  );
  await launch('web-3');
  await step('events: what happens now', () =>
    shows(page.locator('#events tbody'), 'web-3'),
  );
  await shot(page, 'events');
  await accessible('events', page);
}

async function outage(page) {
  await byMenu(page, 'Instances');
  await shows(row(page, 'instances', 'web-2'), 'running');
  is(
    'controller stops in good order while the page listens',
    await cloud.stop(cloud.controller),
    0,
  );
  await step('controller gone: says so', () =>
    shows(page.locator('#outage'), 'The controller cannot be reached.'),
  );
  await step('controller gone: it is not live', () =>
    shows(page.locator('#live'), 'reconnecting'),
  );
  await step('controller gone: what was known stays', () =>
    shows(row(page, 'instances', 'web-2'), 'running'),
  );
  await shot(page, 'outage');
  await cloud.startController();
  await step('controller back: live again, by itself', async () => {
    await shows(page.locator('#live'), /^live$/);
    await until('no error is left', async () => {
      return (await page.locator('#outage').innerText()) === '';
    });
  });
  await cloud.virga('instance', 'stop', 'web-2', '--wait');
  await step('controller back: what happens is seen', () =>
    shows(row(page, 'instances', 'web-2'), 'stopped'),
  );
}

/** Whatever a tenant or guest may write, put where each may write it. */
async function xss(page) {
  await launch('web-4', {
    labels: { note: 'a' },
    user_data: XSS,
  });
  // What the controller refuses in names it could still answer one day: the
  // page must not rest on it. Its replies are changed on their way.
  const evil = (value, key) => {
    if (Array.isArray(value)) return value.map((v) => evil(v, key));
    if (value && typeof value === 'object')
      return Object.fromEntries(
        Object.entries(value).map(([k, v]) => [k, evil(v, k)]),
      );
    return typeof value === 'string' &&
      /name|flavor|image|reason|step|message|detail|driver|accel|version|hypervisor|keypairs|traits|quarantined|kind|request_id|note/.test(
        key,
      )
      ? XSS
      : value;
  };
  await page.route('**/v1/**', async (route) => {
    if (/events/.test(route.request().url())) return route.continue();
    const reply = await route.fetch();
    const text = await reply.text();
    const type = reply.headers()['content-type'] ?? '';
    await route.fulfill({
      response: reply,
      body: type.includes('json')
        ? JSON.stringify(evil(JSON.parse(text)))
        : XSS,
    });
  });
  await page.reload();
  for (const view of ['Instances', 'Nodes', 'Operations', 'Usage', 'Events']) {
    await byMenu(page, view);
    await page.locator('main table').first().waitFor();
    await shows(page.locator('body'), '<img src=x');
    is(
      `hostile texts stay text: ${view}`,
      await page.locator('#app :is(img, script, iframe)').count(),
      0,
    );
  }
  await byMenu(page, 'Instances');
  await page.locator('#instances tbody a').first().click();
  await shows(page.locator('#log-text'), '<script>');
  is(
    'hostile texts stay text: an instance',
    await page.locator('#app :is(img, script, iframe)').count(),
    0,
  );
  ok('hostile texts ran nothing', (await page.title()) !== '1');
  await page.unrouteAll({ behavior: 'ignoreErrors' });
}

async function byToken(page) {
  await page.locator('#other-way').click();
  await page.getByLabel('Token').fill('vt1.wrong');
  await page.keyboard.press('Enter');
  await step('wrong token: says so', () =>
    shows(page.locator('#login-error'), 'This token is not valid'),
  );
  await page.getByLabel('Token').fill('vt1.€');
  await page.keyboard.press('Enter');
  await step('what cannot be a token: says so', () =>
    shows(page.locator('#login-error'), 'This is not a token.'),
  );
  await page.getByLabel('Token').fill(cloud.token);
  await page.keyboard.press('Enter');
  await step('right token: who it is', () =>
    shows(page.locator('#who'), 'admin (operator)'),
  );
  await step('right token: it is live', () =>
    shows(page.locator('#live'), /^live$/),
  );
  is(
    'the token is in no address',
    await page.evaluate(
      (t) => (location.href + document.referrer).includes(t),
      cloud.token,
    ),
    false,
  );
  await page.locator('#sign-out').click();
  await page.getByLabel('User').waitFor();
  is(
    'signed out: the token is not kept',
    await page.evaluate(() => sessionStorage.length),
    0,
  );
}

// ---- a tenant on a phone ----

async function phone() {
  const { context, page, faults } = await open({
    viewport: { width: 360, height: 740 },
    deviceScaleFactor: 2,
    isMobile: true,
    hasTouch: true,
  });
  await page.goto(`${cloud.url}/`);
  const login = await cloud.rest(
    'POST',
    '/v1/login',
    { user: 'bob', password: PASSWORD },
    { token: '' },
  );
  await launch('mine', {}, { token: login.token });
  await signIn(page, 'bob');
  await step('tenant: sees its own', () =>
    shows(row(page, 'instances', 'mine'), 'running'),
  );
  is(
    'tenant: and no other’s',
    await row(page, 'instances', 'web-2').count(),
    0,
  );
  is(
    'tenant: has no nodes',
    await page.locator('.menu').getByText('Nodes').count(),
    0,
  );
  const wide = () =>
    page.evaluate(() => document.documentElement.scrollWidth <= 360);
  ok('phone: the list is no wider than the screen', await wide());
  await shot(page, 'phone-list');
  await page.getByRole('link', { name: 'mine' }).tap();
  await shows(page.locator('#log-text'), 'mine ready');
  ok('phone: an instance is no wider than the screen', await wide());
  await action(page, 'Reboot').tap();
  await page.locator('#confirm [data-answer=yes]').tap();
  await step('phone: the buttons are within reach', () =>
    shows(page.locator('#history'), 'instance.reboot'),
  );
  await shows(page.locator('#instance-state'), 'running');
  await shot(page, 'phone');
  const ground = () =>
    page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  is('light where the reader prefers it', await ground(), 'rgb(244, 246, 249)');
  await page.emulateMedia({ colorScheme: 'dark' });
  is('dark where the reader prefers it', await ground(), 'rgb(17, 23, 29)');
  await accessible('an instance, dark, on a phone', page);
  await shot(page, 'phone-dark');
  if (shots) {
    await page.setViewportSize({ width: 1280, height: 900 });
    await shot(page, 'dark');
    await page.setViewportSize({ width: 360, height: 740 });
  }
  await cloud.rest('PATCH', '/v1/users/bob', { disabled: true });
  await step('user disabled: signed out at once, with the reason', async () => {
    await page.getByLabel('User').waitFor();
    return (await page.locator('#login-error').innerText()) !== '';
  });
  is(
    'user disabled: no row is left',
    await page.locator('tbody tr').count(),
    0,
  );
  is('phone: the page did nothing that it may not', faults.join('\n'), '');
  await context.close();
}

// ---- what is served ----

async function served() {
  const page = await cloud.http('GET', '/', { token: '' });
  const policy = page.headers['content-security-policy'] ?? '';
  ok(
    'scripts and styles from this server only, no string becomes markup',
    policy.startsWith(
      "default-src 'none'; script-src 'self'; style-src 'self';",
    ) && policy.includes("require-trusted-types-for 'script'"),
  );
  is('index: asked for each time', page.headers['cache-control'], 'no-cache');
  const again = await cloud.http('GET', '/', {
    token: '',
    headers: { 'If-None-Match': page.headers.etag },
  });
  is('index: not sent again while it is the same', again.status, 304);
  is('index: nothing comes with that', again.text, '');
  const [script] = /\/dashboard\/[\w.-]+\.js/.exec(page.text);
  const file = await cloud.http('GET', script, { token: '' });
  is('script: is served', file.status, 200);
  is(
    'script: kept for ever, under a name with a hash',
    file.headers['cache-control'],
    'public, max-age=31536000, immutable',
  );
  for (const name of [
    '..',
    '%2e%2e%2findex.html',
    '.hidden',
    'automake.mk',
    '../index.html',
    'index.html/',
  ])
    is(
      `no other file: ${name}`,
      (await cloud.http('GET', `/dashboard/${name}`, { token: '' })).status,
      404,
    );
}

// A fault outside of run() must not leave daemons behind.
process.on('unhandledRejection', (e) => {
  ok('nothing fails unheard', false);
  diag(e?.stack ?? e);
});
try {
  await run();
} catch (e) {
  ok('the test comes to its end', false);
  diag(e.stack);
}
await browser?.close();
await cloud.end();
done();
