import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { call, dict, global, int, pickle, str, tuple } from '../../test/support/pickles.js';
import { PickleGlobal, PlainObject, unpickle } from './pickleMachine.js';
import { torchGlobals } from './torchObjects.js';

const allowed = { globals: torchGlobals, persistent: (id: unknown) => id };
const load = (bytes: Uint8Array) => unpickle(bytes, 0, allowed).value;
const opcodes = (text: string) => new Uint8Array(Buffer.from(`\x80\x02${text}`, 'latin1'));
const pickleError = (message: RegExp) => ({ name: 'CheckpointFileError', message });
const refuses = (bytes: Uint8Array, message: RegExp) => assert.throws(() => load(bytes), pickleError(message));

describe('unpickle', () => {
  it('builds plain containers, numbers and text', () => {
    const value = load(pickle(dict({ a: tuple(int(-3), str('é')), b: dict({}) })));
    assert.deepEqual(
      value,
      new Map<string, unknown>([
        ['a', [-3, 'é']],
        ['b', new Map()],
      ]),
    );
    // {"x": [1.5, None, True, 2**70], 3: {4}}, protocol 4
    const framed = Buffer.from(
      '80049529000000000000007d94288c0178945d9428473ff80000000000004e888a09000000000000000040654b038f94284b0490752e',
      'hex',
    );
    assert.deepEqual(
      load(framed),
      new Map<unknown, unknown>([
        ['x', [1.5, null, true, 2n ** 70n]],
        [3, new Set([4])],
      ]),
    );
  });

  it('preserves identity and cycles through the memo', () => {
    const list = load(opcodes(']q\x00h\x00a.')) as unknown[];
    assert.equal(list[0], list);
  });

  it('keeps only the attributes of an object, such as the parsed command line', () => {
    const built = load(opcodes('cargparse\nNamespace\n)\x81}X\x02\x00\x00\x00lrK\x01sb.'));
    assert.ok(built instanceof PlainObject);
    assert.deepEqual(built.attributes, new Map([['lr', 1]]));
  });

  it('returns the position after a pickle', () => {
    assert.deepEqual(unpickle(opcodes('K\x01.rest'), 0, allowed), { value: 1, end: 5 });
  });

  for (const [what, bytes, name] of [
    ['os.system by REDUCE', pickle(call(global('posix', 'system'), str('touch /tmp/owned'))), 'posix.system'],
    ['os.system in protocol 0', new Uint8Array(Buffer.from("cos\nsystem\n(S'true'\ntR.")), 'os.system'],
    ['os.system by INST', opcodes('(X\x04\x00\x00\x00trueios\nsystem\n.'), 'os.system'],
    ['eval by STACK_GLOBAL', opcodes('\x8c\x08builtins\x8c\x04eval\x93.'), 'builtins.eval'],
    ['getattr', pickle(call(global('builtins', 'getattr'))), 'builtins.getattr'],
    ['a loader of torch', pickle(global('torch', 'load')), 'torch.load'],
    ['a reconstructor', pickle(global('copyreg', '_reconstructor')), 'copyreg._reconstructor'],
    ['a name of every JavaScript object', pickle(global('constructor', 'constructor')), 'constructor.constructor'],
    ['a name that spans two words', pickle(global('collections OrderedDict', '')), 'collections OrderedDict.'],
  ] as const) {
    it(`rejects ${what}, naming it`, () => {
      refuses(bytes, new RegExp(`the Python object "${name.replaceAll('.', '\\.')}", which is refused`));
    });
  }

  it('calls only functions of the table', () => {
    refuses(opcodes('}X\x04\x00\x00\x00callK\x01s)R.'), /calls a value that is not a function/);
    refuses(opcodes('X\x01\x00\x00\x00a)R.'), /calls a value that is not a function/);
    refuses(pickle(call(global('torch', 'FloatStorage'))), /calls a value that is not a function/);
    refuses(opcodes('ccollections\nOrderedDict\n}R.'), /arguments of a call are not a tuple/);
    let calls = 0;
    const globals = new Map([['a b', new PickleGlobal(() => ++calls)]]);
    assert.equal(unpickle(pickle(call(global('a', 'b'))), 0, { globals, persistent: () => null }).value, 1);
    assert.equal(calls, 1);
  });

  it('rejects opcodes and protocols that torch.save never writes', () => {
    refuses(opcodes('I1\n.'), /opcode INT \(0x49\) is never written by torch\.save/);
    refuses(opcodes('\x82\x01.'), /opcode EXT1/);
    refuses(opcodes('\xff.'), /unknown opcode 0xff/);
    refuses(Uint8Array.of(0x80, 6, 0x4e, 0x2e), /protocol 6 is newer than 5/);
  });

  it('rejects lengths beyond the end of the file', () => {
    refuses(opcodes('X\xff\xff\xff\xff.'), /needs 4294967295 bytes, but only 1 are left; is it truncated/);
    refuses(opcodes('\x8d\x00\x00\x00\x00\x00\x00\x00\x10.'), /needs 1152921504606847000 bytes/);
    refuses(opcodes('\x8b\xff\xff\xff\x7f.'), /an integer of 2147483647 bytes/);
    refuses(opcodes(`c${'x'.repeat(2000)}`), /a name is longer than 1000 bytes/);
  });

  it('rejects invalid use of the stack and the memo, and invalid text', () => {
    refuses(opcodes('.'), /does not end with exactly one value/);
    refuses(opcodes('K\x01K\x02.'), /does not end with exactly one value/);
    refuses(opcodes('t.'), /a mark that does not exist/);
    refuses(opcodes('\x86.'), /from an empty stack/);
    refuses(opcodes('K\x01K\x02a.'), /APPEND to a value that is not a list/);
    refuses(opcodes('}(K\x01u.'), /a key without a value/);
    refuses(opcodes('h\x05.'), /reads entry 5 of its memo, which does not exist/);
    refuses(opcodes('X\x01\x00\x00\x00\xff.'), /not UTF-8/);
    refuses(opcodes('K'), /is it truncated/);
  });

  it('limits the sizes of stack and memo and the number of containers', () => {
    refuses(opcodes('N'.repeat(1_000_001)), /stack has more than 1000000 values/);
    refuses(opcodes('('.repeat(1_000_001)), /stack has more than 1000000 values/);
    refuses(opcodes('}0'.repeat(1_000_001)), /more than 1000000 containers/);
    refuses(opcodes(`N${'\x94'.repeat(1_000_001)}`), /memo has more than 1000000 values/);
  });
});
