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
    // {"x": [1.5, None, True, 2**70], 3: {4}} of protocol 4
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

  it('keeps identity through the memo, cycles included', () => {
    const list = load(opcodes(']q\x00h\x00a.')) as unknown[];
    assert.equal(list[0], list);
  });

  it('keeps the attributes of a command line, and nothing else of an object', () => {
    const built = load(opcodes('cargparse\nNamespace\n)\x81}X\x02\x00\x00\x00lrK\x01sb.'));
    assert.ok(built instanceof PlainObject);
    assert.deepEqual(built.attributes, new Map([['lr', 1]]));
  });

  it('says where a pickle ends', () => {
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
    it(`refuses ${what} by name`, () => {
      refuses(bytes, new RegExp(`the Python object "${name.replaceAll('.', '\\.')}", which is refused`));
    });
  }

  it('calls nothing but functions of the table', () => {
    refuses(opcodes('}X\x04\x00\x00\x00callK\x01s)R.'), /calls what is no function/);
    refuses(opcodes('X\x01\x00\x00\x00a)R.'), /calls what is no function/);
    refuses(pickle(call(global('torch', 'FloatStorage'))), /calls what is no function/);
    refuses(opcodes('ccollections\nOrderedDict\n}R.'), /calls with other than a tuple/);
    let calls = 0;
    const globals = new Map([['a b', new PickleGlobal(() => ++calls)]]);
    assert.equal(unpickle(pickle(call(global('a', 'b'))), 0, { globals, persistent: () => null }).value, 1);
    assert.equal(calls, 1);
  });

  it('refuses what torch.save never writes', () => {
    refuses(opcodes('I1\n.'), /opcode INT \(0x49\) stands in no file/);
    refuses(opcodes('\x82\x01.'), /opcode EXT1/);
    refuses(opcodes('\xff.'), /unknown opcode 0xff/);
    refuses(Uint8Array.of(0x80, 6, 0x4e, 0x2e), /protocol 6 is newer than 5/);
  });

  it('refuses lengths beyond the file, whatever they claim', () => {
    refuses(opcodes('X\xff\xff\xff\xff.'), /4294967295 bytes are asked for where 1 are left; is it truncated/);
    refuses(opcodes('\x8d\x00\x00\x00\x00\x00\x00\x00\x10.'), /1152921504606847000 bytes are asked for/);
    refuses(opcodes('\x8b\xff\xff\xff\x7f.'), /an integer of 2147483647 bytes/);
    refuses(opcodes(`c${'x'.repeat(2000)}`), /a name has no end within 1000 bytes/);
  });

  it('refuses broken stacks, memos and text', () => {
    refuses(opcodes('.'), /ends with other than one value/);
    refuses(opcodes('K\x01K\x02.'), /ends with other than one value/);
    refuses(opcodes('t.'), /a mark where there is none/);
    refuses(opcodes('\x86.'), /from an empty stack/);
    refuses(opcodes('K\x01K\x02a.'), /APPEND to what is no list/);
    refuses(opcodes('}(K\x01u.'), /a key without a value/);
    refuses(opcodes('h\x05.'), /recalls value 5, which it never remembered/);
    refuses(opcodes('X\x01\x00\x00\x00\xff.'), /not UTF-8/);
    refuses(opcodes('K'), /is it truncated/);
  });

  it('bounds what it holds', () => {
    refuses(opcodes('N'.repeat(1_000_001)), /more than 1000000 values wait/);
    refuses(opcodes('('.repeat(1_000_001)), /more than 1000000 values wait/);
    refuses(opcodes('}0'.repeat(1_000_001)), /more than 1000000 containers/);
    refuses(opcodes(`N${'\x94'.repeat(1_000_001)}`), /remembers more than 1000000 values/);
  });
});
