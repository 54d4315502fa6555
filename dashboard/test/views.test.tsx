import { render } from 'preact';
import { act } from 'preact/test-utils';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { App } from '../src/app';
import { ConsoleText } from '../src/console';
import { resume, session } from '../src/session';
import { json, problem, Server, stream } from './server';

const XSS = '<img src=x onerror="alert(1)"><script>alert(2)</script>';
let s: Server;
let box: HTMLElement;

const text = () => box.textContent;
const settle = (check: () => void) =>
  vi.waitFor(
    async () => {
      await act(() => undefined);
      check();
    },
    { timeout: 10_000 },
  );

function instance(n: number, more: object = {}) {
  return {
    id: `id-${n}`,
    name: `web-${n}`,
    state: 'running',
    flavor: 'small',
    image: 'tiny',
    vcpus: 1,
    memory_bytes: 2 ** 28,
    disk_bytes: 2 ** 30,
    created_at: '2026-01-01T00:00:00Z',
    restart_policy: 'never',
    restart_count: 0,
    labels: {},
    keypairs: [],
    ...more,
  };
}

async function open(hash: string, role = 'member') {
  location.hash = hash;
  s.on('GET /v1/whoami', () => json({ role, user_name: 'ada' }));
  await act(async () => {
    await resume();
  });
  await act(() => {
    render(<App />, box);
  });
}

beforeEach(() => {
  vi.unstubAllGlobals();
  HTMLDialogElement.prototype.showModal = function () {
    this.open = true;
  };
  HTMLDialogElement.prototype.close = function () {
    this.open = false;
  };
  s = new Server().install();
  s.on('GET /v1/events', (_, init) => stream(init.signal).reply);
  s.on('GET /v1/operations', () => json({ items: [] }));
  box = document.body.appendChild(document.createElement('div'));
});
afterEach(() => {
  render(null, box);
  box.remove();
  session.set({ phase: 'checking' });
});

describe('instances', () => {
  it('are paged by key, forth and back', async () => {
    s.on('GET /v1/instances', ({ url }) =>
      url.includes('page_token=t1')
        ? json({ items: [instance(2)] })
        : json({ items: [instance(1)], next_page_token: 't1' }),
    );
    await open('#/instances');
    await settle(() => {
      expect(text()).toContain('web-1');
    });
    const press = (name: string) =>
      act(() => {
        [...box.querySelectorAll('button')]
          .find((b) => b.textContent === name)
          ?.click();
      });
    await press('Next');
    await settle(() => {
      expect(text()).toContain('web-2');
    });
    expect(text()).not.toContain('web-1');
    await press('Previous');
    await settle(() => {
      expect(text()).toContain('web-1');
    });
  });
  it('are filtered by what the URL says', async () => {
    s.on('GET /v1/instances', () => json({ items: [] }));
    await open('#/instances?state=error&filter=label.a%3Db');
    await settle(() => {
      expect(text()).toContain('No instance is like that.');
    });
    const asked = new URL(s.of('GET /v1/instances')[0]?.url ?? '', 'http://x');
    expect(asked.searchParams.get('filter')).toBe('state=error,label.a=b');
  });
  it('never let a name become markup', async () => {
    s.on('GET /v1/instances', () =>
      json({
        items: [
          instance(1, {
            name: XSS,
            state: 'error',
            flavor: XSS,
            image: XSS,
            fault: { code: 'x', message: XSS },
          }),
        ],
      }),
    );
    await open('#/instances');
    await settle(() => {
      expect(text()).toContain(XSS);
    });
    expect(box.querySelector('table img, script')).toBeNull();
  });
  it('say what is wrong with a filter, field by field', async () => {
    s.on('GET /v1/instances', () =>
      problem(400, 'the request is wrong', {
        errors: [{ pointer: '?filter', code: 'x', message: 'no such field' }],
      }),
    );
    await open('#/instances?filter=x%3D1');
    await settle(() => {
      expect(text()).toContain('no such field');
    });
  });
});

describe('instance', () => {
  beforeEach(() => {
    s.on('GET /v1/instances', () => json({ items: [] }));
    s.on('GET /v1/instances/id-1', () => json(instance(1)));
    s.on(
      'GET /v1/instances/id-1/console-log',
      () =>
        new Response(`\x1b[31m${XSS}`, {
          headers: { 'Virga-Log-Offset': '0', 'Virga-Log-End': '65' },
        }),
    );
  });
  const button = (name: string) =>
    [...box.querySelectorAll('button')].find((b) => b.textContent === name);

  it('shows its console as text', async () => {
    await open('#/instances/id-1');
    await settle(() => {
      expect(box.querySelector('#log-text')?.textContent).toBe(XSS);
    });
    expect(box.querySelector('#log-text')?.childElementCount).toBe(0);
  });
  it('is stopped only after a yes', async () => {
    s.on('POST /v1/instances/id-1/stop', () => json({ id: 'op' }, 202));
    await open('#/instances/id-1');
    await settle(() => {
      expect(button('Stop')?.disabled).toBe(false);
    });
    expect(button('Start')?.disabled).toBe(true);
    await act(() => button('Stop')?.click());
    expect(text()).toContain('Stop web-1?');
    await act(() => button('Cancel')?.click());
    expect(s.of('POST /v1/instances/id-1/stop')).toEqual([]);
    await act(() => button('Stop')?.click());
    await act(() =>
      box.querySelector<HTMLButtonElement>('[data-answer=yes]')?.click(),
    );
    await settle(() => {
      expect(text()).toContain('Stop web-1: asked for.');
    });
    expect(s.of('POST /v1/instances/id-1/stop')[0]?.body).toEqual({
      force: false,
    });
  });
  it('shows why something is refused', async () => {
    s.on('POST /v1/instances/id-1/pause', () => problem(409, 'it is locked'));
    await open('#/instances/id-1');
    await settle(() => {
      expect(button('Pause')).toBeTruthy();
    });
    await act(() => button('Pause')?.click());
    await settle(() => {
      expect(box.querySelector('#error')?.textContent).toContain(
        'It is locked',
      );
    });
  });
  it('has no buttons for a reader', async () => {
    await open('#/instances/id-1', 'reader');
    await settle(() => {
      expect(text()).toContain('small');
    });
    expect(button('Stop')).toBeUndefined();
  });
});

describe('operations', () => {
  it('that are stuck come first, with reason and remedy', async () => {
    s.on('GET /v1/operations', ({ url }) =>
      json({
        items: url.includes('stuck')
          ? [
              {
                id: 'op-1',
                kind: 'instance.create',
                state: 'running',
                stuck: true,
                reason: XSS,
                resource_id: 'id-1',
                resource_type: 'instance',
                step: 'image',
                attempt: 2,
                can_cancel: true,
              },
            ]
          : [],
      }),
    );
    s.on('POST /v1/operations/op-1/retry', () => json({ id: 'op-1' }, 202));
    await open('#/operations', 'operator');
    await settle(() => {
      expect(box.querySelector('#stuck')?.textContent).toContain(XSS);
    });
    expect(box.querySelector('#n-stuck')?.textContent).toContain('1');
    expect(text()).toContain('image (attempt 2)');
    await act(() =>
      box
        .querySelector<HTMLButtonElement>('button[aria-label^="Retry"]')
        ?.click(),
    );
    await settle(() => {
      expect(s.of('POST /v1/operations/op-1/retry').length).toBe(1);
    });
  });
});

describe('page', () => {
  it('shows billing nothing but usage, and asks for nothing else', async () => {
    s.on('GET /v1/usage', () => json({ items: [] }));
    await open('#/instances', 'billing');
    await settle(() => {
      expect(text()).toContain('Nothing ran in this period.');
    });
    expect(s.of('GET /v1/instances')).toEqual([]);
    expect(s.of('GET /v1/events')).toEqual([]);
    expect(box.querySelectorAll('.menu a').length).toBe(1);
  });
  it('is empty of what was shown once the session is over', async () => {
    s.on('GET /v1/instances', () => json({ items: [instance(1)] }));
    await open('#/instances');
    await settle(() => {
      expect(text()).toContain('web-1');
    });
    s.on('GET /v1/operations', () => problem(401, 'the session has ended'));
    await act(async () => {
      const { call } = await import('../src/api/client');
      await call('get', '/v1/operations').catch(() => undefined);
    });
    await settle(() => {
      expect(text()).toContain('The session has ended');
    });
    expect(text()).not.toContain('web-1');
  });
});

describe('console text', () => {
  it('goes on where it was, across characters cut in two', async () => {
    const bytes = new TextEncoder().encode('aé');
    let at = 0;
    s.on('GET /v1/instances/i/console-log', () => {
      const from = at;
      at = Math.min(at + 2, bytes.length);
      return new Response(bytes.slice(from, at), {
        headers: {
          'Virga-Log-Offset': String(from),
          'Virga-Log-End': String(bytes.length),
        },
      });
    });
    const log = new ConsoleText('i');
    const { signal } = new AbortController();
    expect(await log.more(signal)).toBe(true);
    expect(log.text).toBe('a');
    expect(await log.more(signal)).toBe(false);
    expect(log.text).toBe('aé');
    expect(s.asked.at(-1)?.url).toContain('offset=2');
  });
  it('begins anew when the log did', async () => {
    let text = 'first';
    s.on(
      'GET /v1/instances/i/console-log',
      () =>
        new Response(text, {
          headers: {
            'Virga-Log-Offset': '0',
            'Virga-Log-End': String(text.length),
          },
        }),
    );
    const log = new ConsoleText('i');
    const { signal } = new AbortController();
    await log.more(signal);
    text = 'new';
    await log.more(signal);
    expect(log.text).toBe('new');
  });
});
