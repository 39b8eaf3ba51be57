import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { parse } from 'yaml';
import { readConfigFile } from './configFile.js';
import { configKeys } from './keys.js';
import { limitsOf } from './limits.js';
import { printConfig } from './print.js';
import { type ConfigSources, resolveConfig } from './resolve.js';
import { defaultServeLimits } from './serveLimits.js';

const resolve = (sources: Partial<ConfigSources>) => resolveConfig({ flags: {}, env: {}, ...sources });
const file = (content: Record<string, unknown>) => ({ path: 'serve.yaml', content });

function refused(sources: Partial<ConfigSources>, ...messages: RegExp[]): void {
  assert.throws(
    () => resolve(sources),
    (error: Error) => {
      assert.equal(error.name, 'ServeConfigError');
      for (const message of messages) assert.match(error.message, message);
      return true;
    },
  );
}

describe('sources of the configuration', () => {
  test('a flag beats its variable, which beats the file, which beats the default', () => {
    const content = { queueImages: 4, batchImages: 1, callsPerConnection: 1 };
    const env = { VICREGL_QUEUE_IMAGES: '2', VICREGL_BATCH_IMAGES: '2' };
    const { config, origins } = resolve({ flags: { queueImages: '3' }, env, file: file(content) });
    const { queueImages, batchImages, callsPerConnection, queueMatches } = config;
    assert.deepEqual([queueImages, batchImages, callsPerConnection], [3, 2, 1]);
    assert.equal(queueMatches, defaultServeLimits.queueMatches);
    const names = ['queueImages', 'batchImages', 'callsPerConnection', 'queueMatches'];
    assert.deepEqual(
      names.map((name) => origins.get(name)),
      ['--queue-images', 'VICREGL_BATCH_IMAGES', 'serve.yaml', 'default'],
    );
  });

  test('lists are repeated flags, comma-separated text, or lists and text in a file', () => {
    assert.deepEqual(resolve({ flags: { model: ['a', 'b'] } }).config.model, ['a', 'b']);
    assert.deepEqual(resolve({ env: { VICREGL_MODEL: 'a, b' } }).config.model, ['a', 'b']);
    assert.deepEqual(resolve({ file: file({ model: 'a' }) }).config.model, ['a']);
    assert.deepEqual(resolve({ file: file({ model: ['a', 'b'] }) }).config.model, ['a', 'b']);
    // Entries that cannot have a comma are separated in a flag, too.
    assert.deepEqual(resolve({ flags: { model: ['a,b', 'c'] } }).config.model, ['a,b', 'c']);
    assert.deepEqual(resolve({ flags: { inputSizes: ['64x64,96x96', '32x32'] } }).config.inputSizes, [
      '64x64',
      '96x96',
      '32x32',
    ]);
  });

  test('input sizes are text in pixels, and become limits of network inputs', () => {
    const { config } = resolve({ env: { VICREGL_INPUT_SIZES: '448x448, 640x480' } });
    assert.deepEqual(limitsOf(config).output.inputSizes, [
      { width: 448, height: 448 },
      { width: 640, height: 480 },
    ]);
    assert.equal(limitsOf(resolve({}).config).output.inputSizes, undefined);
    refused({ flags: { inputSizes: ['448'] } }, /--input-sizes/, /is not WIDTHxHEIGHT in pixels, such as 448x448/);
    refused({ flags: { inputSizes: ['4096x4096'] } }, /--input-sizes/, /4096x4096 exceeds inputPixels \(4194304\)/);
  });

  test('an empty variable counts as unset', () => {
    assert.equal(resolve({ env: { VICREGL_LOG_LEVEL: '' } }).config.logLevel, 'info');
  });

  test('every key has a group, values and, unless it is only for files, a flag and a variable', () => {
    for (const { name, group, flag, env, values, description } of configKeys()) {
      assert.ok(group && values && description.endsWith('.'), name);
      assert.equal(flag === undefined, env === undefined);
    }
    const { flag, env, values } = configKeys().find(({ name }) => name === 'maxMessageBytes')!;
    assert.deepEqual(
      [flag, env, values],
      ['--max-message-bytes', 'VICREGL_MAX_MESSAGE_BYTES', 'whole number >= 1024, <= 2147483647'],
    );
  });
});

describe('errors name', () => {
  test('the key, the source and valid values of each wrong value, on one line each', () => {
    refused(
      { flags: { queueImages: '0' }, env: { VICREGL_DEVICE: 'gpu' }, file: file({ batchImages: 'many' }) },
      /^the configuration has 3 problems:\n/,
      /^ {2}queueImages \(--queue-images\): 0 is not accepted; use whole number >= 2, <= 1000000$/m,
      /^ {2}device \(VICREGL_DEVICE\): "gpu" is not auto, cpu, cuda, or cuda: with numbers of devices, such as cuda:0,1$/m,
      /^ {2}batchImages \(serve\.yaml\): "many" is not accepted; use whole number >= 1, <= 1024$/m,
    );
    for (const wrong of ['', ' ', '1.5', '1e', '-1', 'NaN', 'Infinity']) {
      refused({ flags: { queueImages: wrong } }, /^queueImages \(--queue-images\): .* is not accepted/);
    }
    refused({ flags: { address: 'nowhere' } }, /^address \(--address\): "nowhere" is not HOST:PORT/);
    refused({ flags: { metricsAddress: '127.0.0.1:65536' } }, /neither HOST:PORT.* nor off/);
  });

  test('the entry of a list that is wrong, and what it may be', () => {
    refused(
      { env: { VICREGL_MODEL: 'a,,b' } },
      /^model\.1 \(VICREGL_MODEL\): "" is not accepted; use text that is not empty$/,
    );
    refused({ file: file({ model: ['a', 1] }) }, /^model\.1 \(serve\.yaml\): 1 is not accepted; use text$/);
    refused(
      { file: file({ model: [] }) },
      /^model \(serve\.yaml\): \[\] is not accepted; use list of text that is not empty$/,
    );
    refused({ flags: { inputSizes: ['1x1', '448'] } }, /^inputSizes\.1 \(--input-sizes\): "448" is not WIDTHxHEIGHT/);
    refused(
      { flags: { tlsCert: '' } },
      /^ {2}tlsCert \(--tls-cert\): "" is not accepted; use text that is not empty$/m,
    );
  });

  test('nothing that may be a secret', () => {
    const secret = 'vrg_SECRET';
    const pem = `-----BEGIN PRIVATE KEY-----\n${secret}`;
    const cases: [Record<string, unknown>, RegExp][] = [
      [
        { tokens: { matching: secret } },
        /^tokens \(serve\.yaml\): the value \(not shown\) is not accepted; use list of groups$/,
      ],
      [{ tokens: 7 }, /^tokens .*not shown/],
      [{ tokens: secret }, /^tokens\.0 \(serve\.yaml\): /],
      [
        { tokens: [{ [secret]: 'matching' }] },
        /tokens\.0 \(serve\.yaml\): has a key that is not known; use name, sha256, requestsPer/,
      ],
      [
        { tokens: [{ name: `${secret} `, sha256: secret, burst: secret }] },
        /tokens\.0\.sha256 .* is not a SHA-256 hash/,
      ],
      [
        { tlsCert: 'a', tlsKey: pem },
        /^tlsKey \(serve\.yaml\): the value \(not shown\) is the content of a PEM file; give the path/,
      ],
      [{ tlsKey: pem }, /tlsKey .*: the value \(not shown\) requires tlsCert/],
    ];
    for (const [content, message] of cases) {
      assert.throws(
        () => resolve({ file: file(content) }),
        (error: Error) => {
          assert.equal(error.name, 'ServeConfigError');
          assert.match(error.message, message);
          assert.doesNotMatch(error.message, /SECRET/);
          return true;
        },
      );
    }
  });

  test('a scheme of gRPC in place of a host', () => {
    for (const scheme of ['unix', 'dns', 'ipv4', 'ipv6', 'UNIX']) {
      refused(
        { flags: { address: `${scheme}:50051` } },
        /^address \(--address\): ".*" has a scheme of gRPC in place of a host/,
      );
    }
    assert.equal(resolve({ flags: { address: 'unix.example:50051' } }).config.address, 'unix.example:50051');
    assert.equal(resolve({ flags: { httpAddress: 'dns:8080' } }).config.httpAddress, 'dns:8080');
  });

  test('listeners that cannot be bound at once', () => {
    refused(
      { flags: { address: '127.0.0.1:9464' } },
      /^metricsAddress \(default\): "127\.0\.0\.1:9464" cannot be bound beside address \(127\.0\.0\.1:9464\); give each listener a port/,
    );
    refused(
      { flags: { httpAddress: '[::]:8080', adminAddress: '127.0.0.1:8080' } },
      /^adminAddress \(--admin-address\): .* cannot be bound beside httpAddress/,
    );
    const same = { address: '127.0.0.1:0', httpAddress: '127.0.0.1:0', metricsAddress: 'off', adminAddress: 'off' };
    assert.equal(resolve({ flags: same }).config.httpAddress, '127.0.0.1:0');
  });

  test('every problem also where an address is none', () => {
    refused(
      { flags: { adminAddress: 'nowhere', queueImages: '0' } },
      /^ {2}adminAddress \(--admin-address\): "nowhere" is neither HOST:PORT/m,
      /^ {2}queueImages /m,
    );
  });

  test('keys that exclude each other', () => {
    refused(
      { flags: { requestBytes: '2048' } },
      /^requestBytes \(--request-bytes\): 2048 is less than maxMessageBytes/,
    );
  });

  test('an unknown key of the file, with the nearest known one', () => {
    refused({ file: file({ queueImage: 3 }) }, /^queueImage \(serve\.yaml\): no such key; did you mean queueImages\?$/);
    refused({ file: file({ 'queue-images': 3 }) }, /did you mean queueImages\?$/);
    refused({ file: file({ zzzzzzzzzzzz: 3 }) }, /no such key; known are address, httpAddress/);
    refused(
      { file: file(JSON.parse('{"__proto__": {"a": 1}}') as Record<string, unknown>) },
      /__proto__ .*no such key/,
    );
  });

  test('an unknown VICREGL_ variable, but not those of Kubernetes or of other commands', () => {
    refused(
      { env: { VICREGL_QUEUE_IMAGE: '3' } },
      /^VICREGL_QUEUE_IMAGE \(environment\): no such key; did you mean VICREGL_QUEUE_IMAGES\?$/,
    );
    refused({ env: { VICREGL_PORT: '50051' } }, /^VICREGL_PORT \(environment\): no such key/);
    resolve({
      env: {
        VICREGL_SERVICE_HOST: '10.0.0.1',
        VICREGL_SERVICE_PORT: '50051',
        VICREGL_SERVICE_PORT_GRPC: '50051',
        VICREGL_PORT: 'tcp://10.0.0.1:50051',
        VICREGL_PORT_50051_TCP: 'tcp://10.0.0.1:50051',
        VICREGL_PORT_50051_TCP_ADDR: '10.0.0.1',
        VICREGL_CANARY_SERVICE_HOST: '10.0.0.2',
        VICREGL_TOKEN: 'x',
        VICREGL_CONFIG: 'x.yaml',
        VICREGL_DEBUG: '1',
      },
    });
  });
});

describe('limits', () => {
  test('are the defaults without keys', () => {
    assert.deepEqual(limitsOf(resolve({}).config), defaultServeLimits);
  });

  test('follow others on which they depend', () => {
    const limits = (flags: Record<string, string>) => limitsOf(resolve({ flags }).config);
    assert.equal(limits({ maxMessageBytes: '1000000000' }).requestBytes, 2e9);
    assert.equal(limits({ maxMessageBytes: '1048576' }).requestBytes, defaultServeLimits.requestBytes);
  });

  test('can all be set', () => {
    const numbers = configKeys().filter(({ group, schema }) => group === 'Limits' && schema.type === 'integer');
    const leaves = (value: object): unknown[] =>
      Object.values(value).flatMap((inner) => (typeof inner === 'object' ? leaves(inner as object) : [inner]));
    // A different value for each, within its range: maxMessageBytes and requestBytes are in the required order.
    const flags = Object.fromEntries(
      numbers.map(({ name, schema }, i) => [name, String((schema.minimum ?? 0) + i + 1)]),
    );
    const set = leaves(limitsOf(resolve({ flags }).config)).map(String);
    assert.deepEqual(set.toSorted(), Object.values(flags).toSorted());
    assert.equal(leaves(defaultServeLimits).length, numbers.length);
  });
});

describe('files', () => {
  test('YAML and JSON are read; errors of anything else name the file and quote no line of it', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'vicregl-config-'));
    const write = async (name: string, text: string) => {
      await writeFile(join(folder, name), text);
      return join(folder, name);
    };
    try {
      const yaml = await readConfigFile(await write('a.yaml', 'queueImages: 64 # two batches\n'));
      assert.deepEqual(yaml.content, { queueImages: 64 });
      assert.deepEqual((await readConfigFile(await write('a.json', '{"queueImages": 64}'))).content, {
        queueImages: 64,
      });
      assert.deepEqual((await readConfigFile(await write('empty.yaml', '# nothing\n'))).content, {});
      await assert.rejects(
        readConfigFile(await write('list.yaml', '- 1\n')),
        /list\.yaml does not contain keys and values/,
      );
      await assert.rejects(
        readConfigFile(join(folder, 'none.yaml')),
        /none\.yaml cannot be read: there is no such file or folder/,
      );
      await assert.rejects(readConfigFile(await write('bad.yaml', 'a: "hush\nb: [')), (error: Error) => {
        assert.match(error.message, /bad\.yaml is neither YAML nor JSON: .* at line \d/);
        assert.doesNotMatch(error.message, /hush/);
        return true;
      });
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  test('the printed configuration shows the sources of values and can be read again', () => {
    const printed = printConfig(
      resolve({ flags: { queueImages: '3', model: ['a', 'b'] }, file: file({ threads: 2 }) }),
    );
    assert.match(printed, /^queueImages: 3 # --queue-images$/m);
    assert.match(printed, /^threads: 2 # serve\.yaml$/m);
    assert.match(printed, /^queueBytes: 536870912 # default$/m);
    const again = resolve({ file: file(parse(printed) as Record<string, unknown>) });
    assert.deepEqual([again.config.queueImages, again.config.model], [3, ['a', 'b']]);
  });
});
