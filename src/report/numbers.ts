import type { FigureInfo, Interval, Measure, Unit } from './report.js';

/** Numbers as they stand in tables: shares in per cent, pixels, and others with three significant digits. */

/** Shown in place of a value that does not exist. */
const MISSING = 'n/a';

const SIGNIFICANT_DIGITS = 3;

/** Digits after the point, the same for a value and its interval. */
function decimalsOf(value: number, unit: Unit): number {
  if (unit === 'share') return 1;
  const magnitude = value === 0 ? 0 : Math.floor(Math.log10(Math.abs(value)));
  return Math.min(8, Math.max(0, SIGNIFICANT_DIGITS - 1 - magnitude));
}

const SUFFIXES: Readonly<Record<Unit, string>> = { share: ' %', pixels: ' px', number: '' };
/** A difference of shares is in percentage points: "%" could be taken for a ratio. */
const DIFFERENCE_SUFFIXES: Readonly<Record<Unit, string>> = { ...SUFFIXES, share: ' points' };

const scaled = (value: number, unit: Unit): number => (unit === 'share' ? value * 100 : value);

function digits(value: number | null, unit: Unit, decimals: number, signed: boolean): string {
  if (value === null) return MISSING;
  const text = scaled(value, unit).toFixed(decimals);
  const isZero = Number(text) === 0;
  // -0.04 is shown as 0.0.
  const magnitude = isZero ? text.replace('-', '') : text;
  return signed && value > 0 && !isZero ? `+${magnitude}` : magnitude;
}

function shown({ value, interval }: Measure, unit: Unit, signed: boolean): string {
  if (value === null) return MISSING;
  const decimals = decimalsOf(value, unit);
  const suffix = (signed ? DIFFERENCE_SUFFIXES : SUFFIXES)[unit];
  const text = `${digits(value, unit, decimals, signed)}${suffix}`;
  // A single item has no interval.
  if (interval === undefined || interval.every((bound) => bound === null)) return text;
  return `${text} [${interval.map((bound) => digits(bound, unit, decimals, signed)).join(', ')}]`;
}

/** Such as `63.1 % [61.6, 64.6]` or `3.21 px`. */
export const measureText = (measure: Measure, unit: Unit): string => shown(measure, unit, false);

/** Such as `+3.1 points [+1.2, +5.0]`. */
export const differenceText = (difference: Measure, unit: Unit): string => shown(difference, unit, true);

/** What the interval of a difference says: it excludes 0 on the better or on the worse side, or it does not. */
export function verdict([lower, upper]: Interval, better: FigureInfo['better']): 'better' | 'worse' | 'not excluded' {
  if (lower === null || upper === null || (lower <= 0 && upper >= 0)) return 'not excluded';
  return lower > 0 === (better === 'higher') ? 'better' : 'worse';
}
