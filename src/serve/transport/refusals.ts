import { ServerInterceptingCall, type ServerInterceptor } from '@grpc/grpc-js';

/**
 * Sees the calls that no handler sees: grpc-js itself ends those whose message is too large or never arrives whole.
 * @param onRefused told the method of a call that ended without its message
 */
export function watchRefusals(service: string, onRefused: (method: string) => void): ServerInterceptor {
  return (definition, call) => {
    if (!definition.path.startsWith(`/${service}/`)) return new ServerInterceptingCall(call);
    let seen = false;
    const method = definition.path.split('/').at(-1)!;
    return new ServerInterceptingCall(call, {
      start(next) {
        next({
          onReceiveMessage(message, nextMessage) {
            seen = true;
            nextMessage(message);
          },
          onCancel() {
            if (!seen) onRefused(method);
          },
        });
      },
    });
  };
}
