import assert from 'node:assert/strict';
import { VicreglError } from '../../src/client/vicreglError.js';

/** For `assert.rejects`: checks the code, the message and, if given, the reason of a client error. */
export function failsWith(code: string, text: RegExp, reason?: string) {
  return (error: unknown) => {
    assert.ok(error instanceof VicreglError, String(error));
    assert.equal(error.code, code, error.message);
    assert.match(error.message, text);
    if (reason !== undefined) assert.equal(error.reason, reason);
    return true;
  };
}
