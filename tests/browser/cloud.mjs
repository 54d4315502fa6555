// cloud.mjs - a controller and an agent with the simulated hypervisor, in a
// private folder, for tests in Node.
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { openSync, closeSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { diag, failures, until } from './tap.mjs';

const build = process.env.top_builddir;
const source = process.env.top_srcdir;
const run = promisify(execFile);

export class Cloud {
  listen = '127.0.0.1:0';
  children = [];

  static async make() {
    const cloud = new Cloud();
    cloud.dir = await mkdtemp(join(tmpdir(), 'virga-test.'));
    return cloud;
  }

  path(...names) {
    return join(this.dir, ...names);
  }

  start(name, program, ...args) {
    const log = openSync(this.path(`${name}.log`), 'a');
    const child = spawn(join(build, program), args, {
      stdio: ['ignore', log, log],
    });
    closeSync(log);
    this.children.push(child);
    return child;
  }

  async startController() {
    await writeFile(this.path('controller.log'), '');
    this.controller = this.start(
      'controller',
      'virga-controllerd',
      ...['--state-dir', this.path('controller')],
      ...['--listen', this.listen],
      ...['--dashboard-dir', join(source, 'dashboard', 'dist')],
    );
    const url = await until('the controller is ready', async () => {
      if (this.controller.exitCode !== null)
        throw new Error('the controller ended');
      const log = await readFile(this.path('controller.log'), 'utf8');
      return /msg="?ready"? .*url=(\S+)/.exec(log)?.[1];
    });
    this.url = url;
    this.listen = new URL(url).host; // the same one after a restart
    this.ca = await readFile(this.path('controller/pki/ca.crt'));
    this.token = (
      await readFile(this.path('controller/admin.token'), 'utf8')
    ).trim();
  }

  async startAgent(name) {
    const { token } = await this.rest('POST', '/v1/join-tokens', {
      ttl_s: 600,
    });
    await writeFile(this.path('join'), token, { mode: 0o600 });
    this.agent = this.start(
      'agent',
      'virga-agentd',
      ...['--state-dir', this.path('agent')],
      ...['--controller', this.url, '--name', name, '--driver', 'sim'],
      ...['--join-token-file', this.path('join')],
    );
    await until('the node is up', async () => {
      const { items } = await this.rest('GET', '/v1/nodes');
      return items.some((i) => i.name === name && i.state === 'up');
    });
  }

  async stop(child) {
    if (child.exitCode !== null || child.signalCode !== null)
      return child.exitCode;
    const ended = once(child, 'exit');
    child.kill('SIGTERM');
    const timer = setTimeout(() => child.kill('SIGKILL'), 30_000);
    await ended;
    clearTimeout(timer);
    return child.exitCode;
  }

  async end() {
    for (const child of this.children) await this.stop(child);
    if (!failures()) return rm(this.dir, { recursive: true });
    for (const name of ['controller.log', 'agent.log']) {
      const log = await readFile(this.path(name), 'utf8').catch(() => '');
      diag(`--- ${name}\n${log.split('\n').slice(-40).join('\n')}`);
    }
    diag(`kept: ${this.dir}`);
  }

  /** The command line's JSON. */
  async virga(...args) {
    const { stdout } = await run(join(build, 'virga'), [...args, '-o', 'json'], {
      env: {
        ...process.env,
        VIRGA_URL: this.url,
        VIRGA_CA: this.path('controller/pki/ca.crt'),
        VIRGA_TOKEN: this.token,
      },
    });
    return stdout.trim() ? JSON.parse(stdout) : undefined;
  }

  /** A request as an API client makes it; its reply. */
  http(method, path, { headers = {}, body, token = this.token } = {}) {
    return new Promise((resolve, reject) => {
      const rq = request(
        this.url + path,
        {
          method,
          ca: this.ca,
          headers: {
            ...(token && { Authorization: `Bearer ${token}` }),
            ...(body !== undefined && { 'Content-Type': 'application/json' }),
            ...headers,
          },
        },
        (reply) => {
          const parts = [];
          reply.on('data', (d) => parts.push(d));
          reply.on('error', reject);
          reply.on('end', () => {
            const text = Buffer.concat(parts).toString();
            resolve({ status: reply.statusCode, headers: reply.headers, text });
          });
        },
      );
      rq.on('error', reject);
      rq.end(body === undefined ? undefined : JSON.stringify(body));
    });
  }

  /** As http(), but fails on an error and gives the JSON. */
  async rest(method, path, body, options = {}) {
    const { status, text } = await this.http(method, path, { body, ...options });
    if (status >= 300) throw new Error(`${method} ${path}: ${status} ${text}`);
    return text ? JSON.parse(text) : undefined;
  }

  /** An image and a flavor with which instances "run". */
  async furnish() {
    // What tells a kernel: "HdrS" at 0x202 (the boot protocol of Linux).
    const kernel = Buffer.alloc(1030);
    kernel.write('HdrS', 0x202);
    await mkdir(this.path('image'));
    await writeFile(this.path('image/kernel'), kernel);
    await this.virga(
      ...['flavor', 'create', 'small'],
      ...['--vcpus', '1', '--memory', '256M', '--disk', '1G'],
    );
    await this.virga(
      ...['image', 'create', 'tiny', '--kernel', this.path('image/kernel')],
      ...['--public', '--wait'],
    );
  }
}
