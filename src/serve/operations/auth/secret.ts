import { createHash, randomBytes } from 'node:crypto';

/** What tokens begin with, so that scanners of leaked secrets and log filters know them. */
const PREFIX = 'vrg_';

/**
 * A new token of 256 random bits. That many cannot be guessed, which is why the configuration may hold a plain SHA-256 of
 * it: slow hashes with salts are for secrets that people choose.
 */
export function createToken(): string {
  return PREFIX + randomBytes(32).toString('base64url');
}

/** SHA-256 of a token. */
export function hashToken(token: string): Buffer {
  return createHash('sha256').update(token, 'utf8').digest();
}
