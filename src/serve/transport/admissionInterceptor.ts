import { type Metadata, ServerInterceptingCall, type ServerInterceptor } from '@grpc/grpc-js';
import { type Status, toStatus } from '../call/errors.js';
import { methodName } from '../dispatch/codec.js';
import { callContext } from './callContext.js';
import { rejectionStatus } from './trailers.js';
import type { RejectedCall } from './wireInterceptor.js';

/**
 * Decides by the path and the metadata whether a call is admitted.
 * @throws the error with which the call is answered
 */
export type AdmissionCheck = (path: string, metadata: Metadata) => void;

/** Called with every call that is rejected. */
export type OnRejected = (call: RejectedCall, status: Status) => void;

/** Rejects calls before their message is read, so that rejected calls use neither memory nor work. */
export function admissionInterceptor(checks: readonly AdmissionCheck[], onRejected: OnRejected): ServerInterceptor {
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
              const context = callContext(metadata);
              onRejected({ method: methodName({ path }), path, context, peer: call.getPeer() }, status);
              call.sendStatus(rejectionStatus(status, start));
              return;
            }
            admit(metadata);
          },
        });
      },
    });
}
