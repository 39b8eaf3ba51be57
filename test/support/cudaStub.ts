import { InferenceSession } from '../../src/onnx/runtime.js';

/**
 * Preloaded into a process, this makes ONNX Runtime behave as on a machine with CUDA: CUDA sessions open on the CPU. With
 * `create` or `run`, opening or running such a session fails with that message. `abort` kills the process instead, as cuDNN
 * does if it cannot load one of its libraries. Sessions that allow operators on the CPU are rejected.
 */
export interface CudaStub {
  readonly create?: string;
  readonly run?: string;
  readonly abort?: boolean;
  /** Number of devices; opening a session on another one fails. Default: any. */
  readonly devices?: number;
  /** Prints the device of each session. */
  readonly announce?: boolean;
}

const VARIABLE = 'VICREGL_TEST_CUDA';

/** Environment that installs the stub in a process and in its child processes. */
export function cudaStub(stub: CudaStub): { readonly NODE_OPTIONS: string; readonly [VARIABLE]: string } {
  return { NODE_OPTIONS: `--import=${import.meta.url}`, [VARIABLE]: JSON.stringify(stub) };
}

const stubbed = process.env[VARIABLE];
if (stubbed !== undefined) {
  const { create, run, abort, devices = Number.POSITIVE_INFINITY, announce = false }: CudaStub = JSON.parse(stubbed);
  const open = InferenceSession.create as (...args: unknown[]) => Promise<InferenceSession>;
  const onCuda = new WeakSet<InferenceSession>();
  Object.assign(InferenceSession, {
    create: async (model: unknown, options: InferenceSession.SessionOptions = {}) => {
      const [provider] = options.executionProviders ?? [];
      const { name, deviceId = 0 } = (typeof provider === 'object' ? provider : { name: provider }) as {
        readonly name?: string;
        readonly deviceId?: number;
      };
      if (name !== 'cuda') return open.call(InferenceSession, model, options);
      if (announce) console.log(`a session on device ${deviceId}`);
      if (deviceId >= devices) throw new Error('CUDA failure 101: invalid device ordinal');
      if (create !== undefined) throw new Error(create);
      const { session, ...extra } = options.extra as { session: Record<string, unknown> };
      const { disable_cpu_ep_fallback: refuses, ...rest } = session;
      if (refuses !== '1') throw new Error('this session may leave operators to the CPU');
      const opened = await open.call(InferenceSession, model, {
        ...options,
        executionProviders: ['cpu'],
        extra: { ...extra, session: rest },
      });
      onCuda.add(opened);
      return opened;
    },
  });
  const { prototype } = InferenceSession as unknown as { readonly prototype: InferenceSession };
  const compute = prototype.run as (this: InferenceSession, ...args: unknown[]) => Promise<InferenceSession.ReturnType>;
  prototype.run = async function (...args: unknown[]) {
    if (onCuda.has(this) && abort) process.abort();
    if (onCuda.has(this) && run !== undefined) throw new Error(run);
    return compute.apply(this, args);
  };
}
