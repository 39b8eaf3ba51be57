import assert from 'node:assert/strict';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { until } from '../../../test/support/until.js';
import { requestsInOrder } from './requestOrder.js';

const get = (path: string): string => `GET ${path} HTTP/1.1\r\nhost: test\r\n\r\n`;

describe('requests that are pipelined', () => {
  /** Requests that the handler was given, in order, with their responses. */
  let begun: { readonly url: string; readonly request: IncomingMessage; readonly response: ServerResponse }[];
  let closed: string[];
  let answeredUnreadable: number;
  /** In place of which each was answered. */
  let inPlaceOf: (string | undefined)[];
  let server: ReturnType<typeof createServer>;

  beforeEach(async () => {
    begun = [];
    // Of this test alone: a connection of the last one may close late.
    const ended: string[] = [];
    closed = ended;
    answeredUnreadable = 0;
    inPlaceOf = [];
    const order = requestsInOrder((request, response) => {
      const url = request.url!;
      begun.push({ url, request, response });
      response.once('close', () => ended.push(url));
    });
    server = createServer(order.handler);
    server.on('clientError', (_error, socket) =>
      order.unreadable(socket as Socket, (open) => {
        answeredUnreadable++;
        inPlaceOf.push(begun.find(({ response }) => response === open)?.url);
        socket.end('HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n');
      }),
    );
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  });

  afterEach(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });

  /** A connection, what it has received, and whether it has ended. */
  function dial() {
    const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
    const state = { socket, text: '', ended: false };
    socket.on('data', (bytes) => {
      state.text += bytes.toString('latin1');
    });
    socket.on('error', () => {});
    socket.on('close', () => {
      state.ended = true;
    });
    return state;
  }

  const urls = (): string[] => begun.map(({ url }) => url);
  const statuses = (text: string): string[] => [...text.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, code]) => code!);

  test('are handled one after the other, each with its socket', async () => {
    const caller = dial();
    caller.socket.write(get('/a') + get('/b') + get('/c'));
    for (const [i, url] of ['/a', '/b', '/c'].entries()) {
      await until(() => begun.length === i + 1);
      await delay(20);
      assert.equal(begun.length, i + 1);
      assert.ok(begun[i]!.response.socket);
      begun[i]!.response.end(url);
    }
    await until(() => caller.text.endsWith('/c'));
    await until(() => closed.length === 3);
    assert.deepEqual(urls(), ['/a', '/b', '/c']);
    // The connection can be used again.
    caller.socket.write(get('/d'));
    await until(() => begun.length === 4);
    begun[3]!.response.end();
    await until(() => closed.length === 4);
  });

  test('are dropped when the connection is lost, and the one that was being handled is closed', async () => {
    const caller = dial();
    caller.socket.write(get('/a') + get('/b'));
    await until(() => begun.length === 1);
    caller.socket.destroy();
    await until(() => closed.length === 1);
    await delay(20);
    assert.deepEqual(urls(), ['/a']);
  });

  test('are dropped behind a response that closes the connection', async () => {
    const caller = dial();
    caller.socket.write(get('/a') + get('/b'));
    await until(() => begun.length === 1);
    begun[0]!.response.setHeader('connection', 'close').end('last');
    await until(() => caller.ended);
    await delay(20);
    assert.deepEqual([urls(), statuses(caller.text), closed], [['/a'], ['200'], ['/a']]);
  });

  test('are answered before what cannot be read behind them', async () => {
    const caller = dial();
    caller.socket.write(`${get('/a')}${get('/b')}garbage here\r\n\r\n`);
    await until(() => begun.length === 1);
    await delay(20);
    caller.socket.write('more garbage\r\n\r\n');
    begun[0]!.response.end();
    await until(() => begun.length === 2);
    assert.equal(answeredUnreadable, 0);
    begun[1]!.response.end();
    await until(() => caller.ended);
    assert.deepEqual([statuses(caller.text), answeredUnreadable], [['200', '200', '400'], 1]);
    assert.deepEqual(inPlaceOf, [undefined]);
  });

  test('are answered up to one whose body cannot be read, which is not handled', async () => {
    const caller = dial();
    const broken = 'POST /b HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\nno length\r\n';
    caller.socket.write(get('/a') + broken);
    await until(() => begun.length === 1);
    await delay(20);
    begun[0]!.response.end();
    await until(() => caller.ended);
    assert.deepEqual([urls(), statuses(caller.text)], [['/a'], ['200', '400']]);
  });

  test('have their own unreadable body answered at once', async () => {
    const caller = dial();
    caller.socket.write('POST /a HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\nno length\r\n');
    await until(() => caller.ended);
    assert.deepEqual([statuses(caller.text), answeredUnreadable], [['400'], 1]);
    assert.deepEqual(inPlaceOf, ['/a']);
  });

  test('that were answered before their body had arrived have an unreadable rest, which is none of its own', async () => {
    const caller = dial();
    caller.socket.write('POST /a HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n');
    await until(() => begun.length === 1);
    begun[0]!.response.end();
    await until(() => closed.length === 1);
    caller.socket.write('no length\r\n');
    await until(() => caller.ended);
    assert.deepEqual([statuses(caller.text), answeredUnreadable], [['200'], 0]);
  });

  test('of more than may wait close the connection', async () => {
    const caller = dial();
    caller.socket.write(Array.from({ length: 40 }, (_, i) => get(`/${i}`)).join(''));
    await until(() => caller.ended);
    assert.deepEqual([urls(), closed], [['/0'], ['/0']]);
  });
});
