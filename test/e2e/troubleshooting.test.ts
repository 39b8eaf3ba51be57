import assert from 'node:assert/strict';
import { once } from 'node:events';
import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { createAuthority, writeIdentity } from '../support/certificates.js';
import { bin, startServedProcess } from '../support/servedProcess.js';
import { documents } from '../support/snippets.js';
import { type Ended, vicregl, vicreglIn, vicreglInHost, vicreglInHostAt } from '../support/vicregl.js';

/**
 * The messages that the troubleshooting tables quote are those that the commands print. Users search for a message by its text,
 * so a table with an older wording is useless to them.
 */

/** Port 1 of the loopback address: no service listens there. */
const NO_SERVICE = '127.0.0.1:1';

const photos = resolve('test/fixtures/photos');
const trains = ['train', '--recipe', 'convnext-atto-128', '--out', 'run'];

let scratch: string;
before(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'vicregl-troubleshooting-'));
});
after(() => rm(scratch, { recursive: true }));

/** The command that prints a quoted message. An address of the test is replaced by the one in the document. */
interface Producer {
  readonly run: () => Promise<Ended & { readonly address?: string }>;
  /** Address in the document. */
  readonly address?: string;
}

const noAnswer = async () => ({ ...(await vicreglInHost('model', '--address', NO_SERVICE)), address: NO_SERVICE });

const producers: Readonly<Record<string, Producer>> = {
  'vicregl is not built yet': {
    async run() {
      const program = join(scratch, 'unbuilt', 'bin', 'vicregl.js');
      await mkdir(join(scratch, 'unbuilt', 'bin'), { recursive: true });
      await copyFile(bin, program);
      await copyFile(join(dirname(bin), 'package.json'), join(dirname(program), 'package.json'));
      await writeFile(join(scratch, 'unbuilt', 'package.json'), '{"type":"module"}');
      return vicreglIn({ program }, 'model');
    },
  },
  'no answer from 127.0.0.1:50051': { address: '127.0.0.1:50051', run: noAnswer },
  'no answer from HOST:PORT': { address: 'HOST:PORT', run: noAnswer },
  'cannot listen on 127.0.0.1:9464: ... EADDRINUSE': {
    address: '127.0.0.1:9464',
    async run() {
      const other = createServer().listen(0, '127.0.0.1');
      await once(other, 'listening');
      const address = `127.0.0.1:${(other.address() as AddressInfo).port}`;
      try {
        const flags = ['--address', '127.0.0.1:0', '--admin-address', 'off', '--metrics-address', address];
        return { ...(await vicregl('serve', ...flags, '--device', 'cpu')), address };
      } finally {
        other.close();
      }
    },
  },
  'image is a HEIC file, which is not supported': {
    async run() {
      const file = join(scratch, 'photo.heic');
      await writeFile(file, '\0\0\0\x18ftypheic\0\0\0\0mif1heic');
      return vicreglInHost('embed', file, '--local');
    },
  },
  // The recipe names a folder relative to the current one, which lacks it.
  'data.source: ... cannot be opened': { run: () => vicreglInHostAt(scratch, ...trains) },
  'batchSize is 64, but the source has only ...': {
    run: () => vicreglInHostAt(scratch, ...trains, '--set', `data.source=${photos}`),
  },
  'the service uses TLS; pass its CA with --tls-ca': {
    async run() {
      const { cert, key } = await writeIdentity(scratch, 'service', createAuthority('authority').sign('service'));
      const { child, address } = await startServedProcess('--tls-cert', cert, '--tls-key', key);
      try {
        return await vicreglInHost('model', '--address', address);
      } finally {
        child.kill('SIGKILL');
      }
    },
  },
};

/**
 * The messages in the first column of the table below the heading "Troubleshooting": code with a space, since status codes,
 * reasons and metrics have none.
 */
function quotedMessages(document: string): string[] {
  const section = /^## Troubleshooting$([\s\S]*?)(?=^## |$(?![\s\S]))/m.exec(document)?.[1];
  assert.ok(section !== undefined, 'the document has a section "Troubleshooting"');
  const cells = [...section.matchAll(/^\| ([^|]*) \|/gm)].map(([, cell]) => cell!);
  return cells.flatMap((cell) => [...cell.matchAll(/`([^`]* [^`]*)`/g)].map(([, message]) => message!));
}

/** Whether a text has a quoted message, in which "..." is any text within a line. */
function hasMessage(text: string, message: string): boolean {
  const parts = message.split('...').map((part) => part.trim().replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  return new RegExp(parts.join('.*')).test(text);
}

test('a quotation is found with "..." as any text, and not in another wording', () => {
  const text = 'vicregl: data.source: a/b cannot be opened: there is no such file';
  assert.ok(hasMessage(text, 'data.source: ... cannot be opened'));
  assert.ok(!hasMessage(text, 'data.source: ... cannot be read'));
  assert.ok(!hasMessage(text, 'data.source: a.b cannot be opened'), 'other characters stand for themselves');
});

const files = await documents();
for (const file of ['README.md', 'docs/service/operations.md']) {
  describe(`the troubleshooting table of ${file}`, () => {
    const messages = quotedMessages(files.find((each) => each.file === file)!.text);

    test('quotes messages', () => assert.ok(messages.length > 1));

    for (const message of messages) {
      test(`quotes a message that a command prints: ${message}`, async () => {
        const producer = producers[message];
        assert.ok(producer, 'this file has no command for the message: add one');
        const { code, stderr, address } = await producer.run();
        assert.equal(code, 1, stderr);
        const shown = address === undefined ? stderr : stderr.replaceAll(address, producer.address!);
        assert.ok(hasMessage(shown, message), shown);
      });
    }
  });
}

test('every message of this file is quoted', () => {
  const quoted = new Set(files.flatMap(({ text }) => (/^## Troubleshooting$/m.test(text) ? quotedMessages(text) : [])));
  assert.deepEqual(
    Object.keys(producers).filter((message) => !quoted.has(message)),
    [],
  );
});
