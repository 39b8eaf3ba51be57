import { isMainThread } from 'node:worker_threads';

/**
 * Switches ONNX Runtime's telemetry off for this process and its children; runtime.ts imports it before the binding.
 *
 * Since 1.29 official builds send events to Microsoft from Linux and macOS, and keep a device id, a queue and a log on disk.
 * The library reads ORT_DISABLE_TELEMETRY once, when the first session is made. A value that the user set stays; an empty
 * value counts as not set, as in the library.
 * @throws Error in a worker thread whose process did not do this: the library does not see variables that a thread sets.
 */
const name = 'ORT_DISABLE_TELEMETRY';

if (!isMainThread && !process.env[name]) {
  throw new Error(
    `${name} is not set, and a worker thread cannot set it: import src/onnx/telemetry.js in the main thread, before the thread starts`,
  );
}
process.env[name] ||= '1';
