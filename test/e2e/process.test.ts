import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';
import { createClient, VicreglError } from '../../src/client/index.js';
import { readSafetensors } from '../../src/tensor/safetensors.js';
import { createAuthority, writeIdentity } from '../support/certificates.js';
import { bin, type ServedProcess, startServedProcess } from '../support/servedProcess.js';
import { withTinyModel } from '../support/tinyModel.js';
import { until } from '../support/until.js';
import { vicreglInHost as vicregl, vicregl as vicreglAlone } from '../support/vicregl.js';

/** The command as users run it: `node bin/vicregl.js ...`. */

const photo = (name: string) => fileURLToPath(new URL(`../../../test/fixtures/photos/${name}`, import.meta.url));

async function inFlight({ metricsAddress }: ServedProcess): Promise<number> {
  const text = await (await fetch(`http://${metricsAddress}/metrics`)).text();
  return Number(/^vicregl_requests_in_flight\{method="ExtractFeatures"\} (\d+)$/m.exec(text)?.[1] ?? 0);
}

describe('node bin/vicregl.js', () => {
  let model: Awaited<ReturnType<typeof withTinyModel>>;
  let folder: string;
  before(async () => {
    model = await withTinyModel();
    folder = await mkdtemp(join(tmpdir(), 'vicregl-cli-'));
  });
  after(async () => {
    await model.remove();
    await rm(folder, { recursive: true });
  });

  test('embed, features and match give the same answers from a service and in-process', async () => {
    const served = await startServedProcess('--model', model.folder.dir);
    const over = ['--address', served.address];
    const within = ['--model', model.folder.dir];
    const commands = [
      ['embed', photo('astronaut.jpg'), '--l2', '--out', join(folder, 'embedding.json')],
      ['features', photo('coffee.jpg'), '--dtype', 'float16', '--out', join(folder, 'features.safetensors')],
      [
        'features',
        photo('coffee.jpg'),
        ...['--dtype', 'int8', '--region', '130,0,300,400', '--pca', '4', '--chunked'],
        ...['--out', join(folder, 'components.safetensors'), '--picture', join(folder, 'components.png')],
      ],
      ['match', photo('coffee.jpg'), photo('coffee.jpg'), '--crop-b', '100,50,300,300,flip', '--top', '5'],
    ];
    for (const command of commands) {
      const remote = await vicregl(...command, ...over);
      assert.equal(remote.code, 0, remote.stderr);
      assert.deepEqual(await vicregl(...command, ...within), remote);
      assert.equal(JSON.parse(remote.stdout).model.name, 'tiny');
    }
    const { tensors } = await readSafetensors(join(folder, 'features.safetensors'));
    assert.deepEqual(tensors.get('features')?.shape, [7, 7, 16]);
    const components = await readSafetensors(join(folder, 'components.safetensors'));
    assert.deepEqual(components.tensors.get('features')?.shape, [7, 4, 4]);
    assert.deepEqual(components.tensors.get('features.scales')?.shape, [7, 4]);
    const picture = await sharp(join(folder, 'components.png')).metadata();
    // The central square of the photograph is 350 pixels high: 7 rows of 50 pixels, and 4 columns.
    assert.deepEqual([picture.format, picture.width, picture.height], ['png', 200, 350]);
    const embedding = JSON.parse(await readFile(join(folder, 'embedding.json'), 'utf8')) as { data: number[] };
    assert.ok(Math.abs(Math.hypot(...embedding.data) - 1) < 1e-6);
    served.child.kill('SIGINT');
    assert.deepEqual(await once(served.child, 'exit'), [0, null]);
  });

  test('--local runs the bundled model in this process, at any position of the flag', async () => {
    const { code, stdout, stderr } = await vicregl('embed', '--local', photo('coffee.jpg'), '--threads', '1');
    assert.equal(code, 0, stderr);
    assert.deepEqual(JSON.parse(stdout).shape, [256]);
  });

  test('match --out draws the pairs', async () => {
    const out = join(folder, 'pairs.png');
    const { code, stderr } = await vicregl(
      ...['match', photo('chelsea.png'), photo('coffee.jpg'), '--out', out, '--model', model.folder.dir],
    );
    assert.equal(code, 0, stderr);
    const { format, width, height } = await sharp(out).metadata();
    assert.deepEqual({ format, height, width }, { format: 'png', height: 512, width: 771 + 16 + 768 });
  });

  test('errors are one clear line on stderr, and exit code 1', async () => {
    const cases: [string[], RegExp][] = [
      [
        ['embed', bin, '--model', model.folder.dir],
        /^vicregl: INVALID_ARGUMENT: image: image is text, which is not supported; .*\n$/,
      ],
      [
        ['embed', join(folder, 'none.jpg')],
        /^vicregl: the image: .*none\.jpg cannot be read: there is no such file or folder.*\n$/,
      ],
      [
        ['embed', photo('coffee.jpg'), '--address', '127.0.0.1:1'],
        /^vicregl: UNAVAILABLE: no answer from 127\.0\.0\.1:1 .*vicregl serve.*\n$/,
      ],
      [
        ['embed', photo('coffee.jpg'), '--model', join(folder, 'none')],
        /^vicregl: --model: there is no model ".*none": .*existing models: .*vicregl-resnet18-half.*\n$/,
      ],
      [
        ['embed', photo('coffee.jpg'), '--out', 'x.txt'],
        /^vicregl: INVALID_ARGUMENT: --out: "x\.txt" must end in .*\n$/,
      ],
      [
        ['serve', '--model', model.folder.dir, '--address', 'nowhere'],
        /^vicregl: address \(--address\): "nowhere" is not HOST:PORT.*\n$/,
      ],
      [['embed', '--model', photo('coffee.jpg')], /^error: missing required argument 'image'\n/],
      [
        ['embed', photo('coffee.jpg'), '--local', '--address', '127.0.0.1:1'],
        /^vicregl: INVALID_ARGUMENT: --address and --local cannot be combined.*\n$/,
      ],
      [
        ['model', '--address', '127.0.0.1:1', '--threads', '2'],
        /^vicregl: INVALID_ARGUMENT: --threads: applies to a model in this process.*--local.*\n$/,
      ],
      [['model', '--device', 'cpu'], /^vicregl: INVALID_ARGUMENT: --device: applies to a model in this process.*\n$/],
      [
        ['match', photo('coffee.jpg'), photo('coffee.jpg'), '--top', '2.5', '--local'],
        /'2\.5' is invalid\. It must be a whole number/,
      ],
      [['embed', photo('coffee.jpg'), '--resize', 'huge'], /'huge' is invalid\. It must be native, fit:/],
    ];
    for (const [args, expected] of cases) {
      const { code, stderr } = await vicregl(...args);
      assert.equal(code, 1, `${args.join(' ')}: ${stderr}`);
      assert.match(stderr, expected);
    }
  });

  test('flags that would be ignored are refused by their names', async () => {
    const [a, b, ref] = [photo('coffee.jpg'), photo('chelsea.png'), 'ref:abc'];
    const features = [
      '--mutual',
      '--ratio',
      '0.5',
      '--space',
      'backbone',
      '--min-similarity',
      '0.9',
      '--distance',
      'l2',
    ];
    const crop = '0,0,64,64';
    const cases: [string[], RegExp][] = [
      [
        ['match', a, b, '--local', '--by', 'location', ...features],
        /--space, --mutual, --distance, --ratio, --min-similarity: ignored with --by location; .*--by features/,
      ],
      [['match', a, b, '--max-distance', '1'], /--max-distance: ignored with --by features; .*--by location/],
      [['match', ref, b, '--crop-a', crop], /--crop-a: ignored for stored features \(ref:\)/],
      [['match', a, ref, ref, '--crop-b', crop], /--crop-b: ignored for stored features \(ref:\)/],
      [['match', ref, ref, '--resize', 'native', '--store'], /--resize, --store: ignored for stored features \(ref:\)/],
      [['match', a, b, '--local', '--store'], /--store: features are stored by a service/],
      [['match', a, b, '--model', 'x', '--store'], /--store: features are stored by a service/],
      [['embed', a, '--local', '--tls', '--token-file', 'x'], /--tls, --token-file: ignored with --local, .*--address/],
      [['model', '--model', 'x', '--tls-server-name', 'y'], /--tls-server-name: ignored with --model, .*--address/],
    ];
    for (const [args, expected] of cases) {
      const { code, stderr } = await vicregl(...args);
      assert.equal(code, 1, `${args.join(' ')}: ${stderr}`);
      assert.match(stderr, new RegExp(`^vicregl: INVALID_ARGUMENT: ${expected.source}.*\\n$`));
    }
  });

  test('serve enforces the limits of its flags', async () => {
    const flags = ['--max-message-bytes', '40000', '--queue-images', '8', '--batch-images', '2'];
    const served = await startServedProcess('--model', model.folder.dir, ...flags);
    const { code, stderr } = await vicregl('embed', photo('coffee.jpg'), '--address', served.address);
    assert.equal(code, 1);
    assert.match(stderr, /^vicregl: RESOURCE_EXHAUSTED: .*larger than max.*40000/);
    served.child.kill('SIGTERM');
    assert.deepEqual(await once(served.child, 'exit'), [0, null]);
  });

  test('serve ends with exit code 1 for a model that is given twice', async () => {
    const off = ['--http-address', 'off', '--metrics-address', 'off', '--admin-address', 'off'];
    const flags = ['--address', '127.0.0.1:0', ...off, '--device', 'cpu'];
    const twice = ['--model', model.folder.dir, '--model', model.folder.dir];
    const { code, stderr } = await vicreglAlone('serve', ...flags, ...twice);
    assert.equal(code, 1);
    assert.match(stderr, /^vicregl: model: tiny@1 is given twice, by .* and .*; name each model once/);
  });

  test('a SIGHUP while serve starts does not end it, and reloads once when it serves', async (t) => {
    const listeners = ['--address', '--metrics-address', '--admin-address'].flatMap((flag) => [flag, '127.0.0.1:0']);
    const flags = ['serve', ...listeners, '--model', model.folder.dir, '--device', 'cpu'];
    const child = spawn(process.execPath, [bin, ...flags], { stdio: ['ignore', 'pipe', 'inherit'] });
    t.after(() => child.kill('SIGKILL'));
    const messages: string[] = [];
    createInterface({ input: child.stdout }).on('line', (line) => {
      messages.push((JSON.parse(line) as { msg: string }).msg);
    });
    const state = (pid: number | string): string => {
      try {
        return readFileSync(`/proc/${pid}/status`, 'utf8');
      } catch {
        return '';
      }
    };
    // The first bit of the caught signals is SIGHUP's.
    await until(() => /^SigCgt:\s+[0-9a-f]*[13579bdf]$/m.test(state(child.pid!)), 5);
    child.kill('SIGHUP');
    // Its decode processes and workers start before it listens.
    await until(() => readdirSync('/proc').some((pid) => state(pid).includes(`\nPPid:\t${child.pid}\n`)), 5);
    child.kill('SIGHUP');
    assert.ok(!messages.includes('serving'), 'both came before it served');
    const isReloaded = (message: string): boolean => message.startsWith('reloaded: ');
    await until(() => messages.some(isReloaded), 20);
    assert.equal(child.exitCode, null);
    const after = messages.slice(messages.indexOf('serving'));
    assert.deepEqual(
      after.filter((message) => message === 'reloading' || isReloaded(message)),
      ['reloading', 'reloaded: tiny@1'],
    );
    child.kill('SIGTERM');
    assert.deepEqual(await once(child, 'exit'), [0, null]);
  });

  test('serve uses a certificate and a token of vicregl token, and reloads them on SIGHUP and the admin call', async (t) => {
    const authority = createAuthority('vicregl test');
    const { cert, key } = await writeIdentity(folder, 'served', authority.sign('served'));
    const [ca, tokensFile, tokenFile] = ['ca.crt', 'tokens.yaml', 'token'].map((name) => join(folder, name)) as [
      string,
      string,
      string,
    ];
    await writeFile(ca, authority.cert);
    const make = async (...flags: string[]) => {
      const [token, ...entry] = (await vicregl('token', ...flags)).stdout.split('\n') as [string, ...string[]];
      return { token, entry: entry.join('\n') };
    };
    const [admin, caller] = [await make('--name', 'root', '--admin'), await make('--name', 'app', '--burst', '9')];
    await writeFile(tokensFile, admin.entry);
    await writeFile(tokenFile, `${caller.token}\n`);
    const guard = ['--tls-cert', cert, '--tls-key', key, '--tokens-file', tokensFile];
    const served = await startServedProcess('--model', model.folder.dir, ...guard);
    t.after(() => served.child.kill('SIGKILL'));
    // Use the host name: Node warns on stderr if a TLS server name is an IP address.
    const reach = ['--address', served.address.replace('127.0.0.1', 'localhost'), '--tls-ca', ca];
    const refused = await vicregl('model', ...reach, '--token-file', tokenFile);
    assert.match(refused.stderr, /^vicregl: UNAUTHENTICATED: the token is unknown/);
    assert.match((await vicregl('model', ...reach)).stderr, /^vicregl: UNAUTHENTICATED: the call has no token/);

    await writeFile(tokensFile, admin.entry + caller.entry);
    served.child.kill('SIGHUP');
    let known = await vicregl('model', ...reach, '--token-file', tokenFile);
    for (let i = 0; i < 20 && known.code !== 0; i++)
      known = await vicregl('model', ...reach, '--token-file', tokenFile);
    assert.equal(JSON.parse(known.stdout).name, 'tiny', known.stderr);

    const answer = await new Promise<string>((resolve, reject) => {
      const headers = { authorization: `Bearer ${admin.token}` };
      const call = request(`https://${served.adminAddress}/reload`, { method: 'POST', headers, ca: authority.cert });
      call.on('response', (response) => text(response).then(resolve, reject)).on('error', reject);
      call.end();
    });
    assert.deepEqual(
      JSON.parse(answer).map(({ name, ok }: { name: string; ok: boolean }) => [name, ok]),
      [
        ['certificates', true],
        ['tokens', true],
        [`model ${model.folder.dir}`, true],
      ],
    );
    served.child.kill('SIGTERM');
    assert.deepEqual(await once(served.child, 'exit'), [0, null]);
  });

  test('after SIGTERM the running requests are answered and the process exits with code 0', async () => {
    const served = await startServedProcess('--model', model.folder.dir);
    const client = createClient({ address: served.address, deadlineMs: 30_000 });
    await client.waitForReady();
    const large = await sharp(photo('coffee.jpg')).resize(2048, 1536).jpeg().toBuffer();
    const requests = Array.from({ length: 12 }, () =>
      client.features({ pixels: large, resize: { kind: 'native' } }, { dtype: 'float16' }),
    );
    const settled = Promise.allSettled(requests);
    let running = 0;
    await until(async () => {
      running = await inFlight(served);
      return running > 0;
    }, 5);
    const exited = once(served.child, 'exit');
    served.child.kill('SIGTERM');
    const results = await settled;
    const finished = results.filter((result) => result.status === 'fulfilled');
    assert.ok(finished.length >= running, `${finished.length} of ${running} running requests finished`);
    for (const result of finished) assert.deepEqual(result.value.shape, [192, 256, 16]);
    for (const result of results) {
      if (result.status === 'fulfilled') continue;
      assert.ok(result.reason instanceof VicreglError && result.reason.code === 'UNAVAILABLE', String(result.reason));
    }
    assert.deepEqual(await exited, [0, null]);
    await client.close();
  });
});
