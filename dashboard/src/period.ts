// period.ts - periods of usage by name; all borders are in UTC, as the bills.
export const periods = {
  month: 'This month',
  'last-month': 'Last month',
  day: 'Last 24 hours',
  week: 'Last 7 days',
  days: 'From – to',
} as const;

export type PeriodName = keyof typeof periods;

export interface Period {
  from: string;
  to?: string;
}

const text = (time: number) =>
  new Date(time).toISOString().replace(/\.\d+Z$/, 'Z');
const DAY = 86_400_000;

/** The period of a name; from and to are days, for "days" only. */
export function period(
  name: string,
  now = new Date(),
  from = '',
  to = '',
): Period {
  const y = now.getUTCFullYear();
  const m = now.getUTCMonth();
  const month = (n: number) => text(Date.UTC(y, n, 1));
  const day = /^\d{4}-\d\d-\d\d$/;
  switch (name) {
    case 'last-month':
      return { from: month(m - 1), to: month(m) };
    case 'day':
      return { from: text(now.getTime() - DAY) };
    case 'week':
      return { from: text(now.getTime() - 7 * DAY) };
    case 'days':
      if (day.test(from) && !Number.isNaN(Date.parse(from))) {
        // The last day is part of the period.
        const last = day.test(to) ? Date.parse(to) + DAY : NaN;
        return Number.isNaN(last) || last >= now.getTime()
          ? { from: text(Date.parse(from)) }
          : { from: text(Date.parse(from)), to: text(last) };
      }
      return { from: month(m) };
    default:
      return { from: month(m) };
  }
}
