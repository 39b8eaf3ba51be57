import type { Socket } from 'node:net';

/** The share of the age by which connections vary, so that those opened together do not all close together. As grpc-js. */
const JITTER = 0.1;

/**
 * Decides which connections of HTTP/1.1 are closed after a response, so that clients that keep theirs reach new replicas behind a proxy.
 * @param ageSeconds 0: none
 * @param clock monotonic time in ms
 * @returns whether the connection has reached its age; the age counts from the first call with its socket
 */
export function connectionAges(
  ageSeconds: number,
  clock: () => number = () => performance.now(),
  random: () => number = Math.random,
): (socket: Socket) => boolean {
  if (ageSeconds === 0) return () => false;
  const ends = new WeakMap<Socket, number>();
  return (socket) => {
    const now = clock();
    const end = ends.get(socket);
    if (end !== undefined) return now >= end;
    ends.set(socket, now + ageSeconds * 1000 * (1 + JITTER * (2 * random() - 1)));
    return false;
  };
}
