import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { serviceName } from '../../src/proto/load.js';
import { callFields, FRAME, frame, headers, messageFrames, PREFACE } from '../support/rawFrames.js';

const PATH = 'deploy/haproxy.cfg';

function skipWithoutHaproxy(): string | false {
  if (spawnSync('haproxy', ['-v']).error === undefined) return false;
  const missing = 'haproxy is not installed (Debian: apt-get install haproxy)';
  if (process.env['CI_HAPROXY'] !== 'required') return missing;
  throw new Error(`${missing}, and CI_HAPROXY=required forbids to skip what needs it`);
}

test('the configuration of HAProxy is valid', { skip: skipWithoutHaproxy() }, () => {
  const { status, stdout, stderr } = spawnSync('haproxy', ['-c', '-f', PATH], { encoding: 'utf8' });
  assert.equal(status, 0, stdout + stderr);
  assert.doesNotMatch(stdout + stderr, /WARNING/);
});

test('its health check asks grpc.health.v1 for the service by name, and expects SERVING', async () => {
  const config = await readFile(PATH, 'utf8');
  const sent = [...config.matchAll(/^ {2}tcp-check send-binary (\w+)$/gm)].map(([, hex]) => hex);
  const name = Buffer.from(serviceName);
  const request = Buffer.concat([Buffer.from([0x0a, name.length]), name]);
  assert.deepEqual(
    sent,
    [
      Buffer.from(PREFACE),
      frame(FRAME.settings, 0, 0),
      headers(1, callFields('/grpc.health.v1.Health/Check')),
      messageFrames(1, request),
    ].map((bytes) => bytes.toString('hex')),
  );
  // The message { status: SERVING }, with its length of 2 before it.
  assert.match(config, /^ {2}tcp-check expect binary 00000000020801$/m);
});
