import { type Metadata, ServerInterceptingCall, type ServerInterceptor } from '@grpc/grpc-js';
import { type Status, toStatus } from '../call/errors.js';
import { timedStatus } from './statusTrailer.js';

/**
 * Decides by its path and metadata whether a call may come in.
 * @throws what the call is answered with
 */
export type DoorCheck = (path: string, metadata: Metadata) => void;

/** Told of every call that is turned away. */
export type OnRefused = (call: { path: string; peer: string; metadata: Metadata }, status: Status) => void;

/** Turns calls away before their message is read: what is refused costs neither memory nor the work on it. */
export function door(checks: readonly DoorCheck[], onRefused: OnRefused): ServerInterceptor {
  return ({ path }, call) =>
    new ServerInterceptingCall(call, {
      start(next) {
        next({
          onReceiveMetadata(metadata, admit) {
            const start = performance.now();
            try {
              for (const check of checks) check(path, metadata);
            } catch (error) {
              const status = toStatus(error);
              onRefused({ path, peer: call.getPeer(), metadata }, status);
              call.sendStatus(timedStatus(status, start));
              return;
            }
            admit(metadata);
          },
        });
      },
    });
}
