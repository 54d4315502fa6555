// format.ts - numbers and times as people read them.

export function span(seconds: number): string {
  const s = Math.max(0, Math.floor(seconds));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  if (s < 86400)
    return `${Math.floor(s / 3600)} h ${Math.floor(s / 60) % 60} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor(s / 3600) % 24} h`;
}

export function age(time: string | null | undefined, now = Date.now()) {
  return time ? span((now - Date.parse(time)) / 1000) : '–';
}

/** 2026-11-22 23:11:36 UTC */
export function when(time: string | null | undefined) {
  return time ? `${time.slice(0, 19).replace('T', ' ')} UTC` : '–';
}

export function size(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB'];
  let n = bytes;
  let u = 0;
  for (; n >= 1024 && u < units.length - 1; u++) n /= 1024;
  return `${Number.isInteger(n) ? String(n) : n.toFixed(1)} ${units[u] ?? ''}`;
}

/** A decimal string stays one: it is cut, never turned into a float. */
export function short(decimal: string | null | undefined): string {
  return (decimal ?? '0').replace(/(\.\d{3})\d+$/, '$1');
}

/** Whole seconds of a decimal string. */
export function seconds(decimal: string | null | undefined): string {
  return span(parseInt(decimal ?? '0', 10));
}

/** A console's text without its colours and cursor movements (ECMA-48): what
 * a guest writes is shown, it steers nothing. */
export function plain(text: string): string {
  return (
    text
      .replace(
        // eslint-disable-next-line no-control-regex
        /\x1b(\[[0-?]*[ -/]*[@-~]|[\]P^_X][^\x07\x1b]*(\x07|\x1b\\)?|.)/g,
        '',
      )
      .replace(/\r+\n/g, '\n')
      // Controls, and what turns the direction of writing (UAX #9).
      .replace(/[^\P{Cc}\n\t]|[\u202a-\u202e\u2066-\u2069]/gu, '')
  );
}
