import { z } from 'zod';
import { type Device, deviceProblem } from '../../engine/device.js';
import type { Size } from '../../image/types.js';
import { addressPattern, isScheme } from './address.js';

/** The types of configuration keys; descriptions of their values are derived from them (valuesText.ts). */

/** A whole number between two inclusive bounds. */
export const whole = (min: number, max: number) => z.int().min(min).max(max);

/** Bytes; at most 2 ** 40, more than any machine has. */
export const bytes = (min: number) => whole(min, 2 ** 40);

/** HOST:PORT of gRPC. */
export const listener = z
  .string()
  .regex(addressPattern, 'is not HOST:PORT, such as 127.0.0.1:50051')
  .refine((text) => !isScheme(text), 'has a scheme of gRPC in place of a host; use HOST:PORT, such as 127.0.0.1:50051');

/** HOST:PORT, or off. */
export const optionalListener = z
  .string()
  .refine(
    (text) => text === 'off' || addressPattern.test(text),
    'is neither HOST:PORT, such as 127.0.0.1:9464, nor off',
  );

/** The origin of a web page, or *. */
export const webOrigin = z
  .string()
  .regex(/^(\*|https?:\/\/[^/\s,]+)$/, 'is neither an origin, such as https://example.com without a path, nor *');

/** WIDTHxHEIGHT in pixels. */
export const inputSize = z
  .string()
  .regex(/^[1-9]\d{0,4}x[1-9]\d{0,4}$/, 'is not WIDTHxHEIGHT in pixels, such as 448x448');

/** Parses an `inputSize`. */
export function readInputSize(text: string): Size {
  const [width, height] = text.split('x').map(Number) as [number, number];
  return { width, height };
}

/** A device of the engine. */
export const deviceField = z.string().refine((text): text is Device => deviceProblem(text) === undefined, {
  error: ({ input }) => deviceProblem(String(input)),
});

/** Path of a file. */
export const path = z.string().min(1);
