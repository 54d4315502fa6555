import { render } from 'preact';
import { act } from 'preact/test-utils';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { SearchField } from '../src/components/search-field';

let box: HTMLElement;
const entered = vi.fn();

async function draw(value: string) {
  await act(() => {
    render(
      <SearchField id="f" value={value} placeholder="" onEnter={entered} />,
      box,
    );
  });
}

function field(): HTMLInputElement {
  const input = box.querySelector('input');
  if (!input) throw new Error('there is no field');
  return input;
}

beforeEach(() => {
  box = document.body.appendChild(document.createElement('div'));
  entered.mockReset();
});
afterEach(() => {
  render(null, box);
  box.remove();
});

it('keeps what is being typed while the page is drawn anew', async () => {
  await draw('');
  await act(() => {
    field().value = 'name=we';
    field().dispatchEvent(new Event('input', { bubbles: true }));
  });
  await draw('');
  expect(field().value).toBe('name=we');
  field().dispatchEvent(new Event('change', { bubbles: true }));
  expect(entered).toHaveBeenCalledWith('name=we');
});

it('follows the address', async () => {
  await draw('a');
  await draw('b');
  expect(field().value).toBe('b');
});
