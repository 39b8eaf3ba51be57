import { z } from 'zod';
import { addressPattern } from '../transport/address.js';

/** What values of configuration keys may be; descriptions of ranges are made from these (valuesText.ts). */

/** A whole number between two bounds, both included. */
export const whole = (least: number, most: number) => z.int().min(least).max(most);

/** Bytes; 2 ** 40 is more than any machine has. */
export const bytes = (least: number) => whole(least, 2 ** 40);

/** HOST:PORT. */
export const listener = z.string().regex(addressPattern, 'is not HOST:PORT, such as 127.0.0.1:50051');

/** HOST:PORT, or off. */
export const optionalListener = z
  .string()
  .refine(
    (text) => text === 'off' || addressPattern.test(text),
    'is neither HOST:PORT, such as 127.0.0.1:9464, nor off',
  );

/** Path of a file. */
export const path = z.string().min(1);
