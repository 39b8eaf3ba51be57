import { type DType, type Tensor, tensor } from '../tensor/tensor.js';
import { type CudaCause, explainCudaFailure } from './cuda/failure.js';
import { CUDA_LIBRARIES } from './cuda/libraries.js';
import { providerProblem } from './cuda/loader.js';
import { cudaProof } from './cuda/proof.js';
import { env, InferenceSession, type OnnxValue, Tensor as OrtTensor } from './runtime.js';

/** ONNX Runtime's number of the level "fatal". */
const FATAL = 4;

// Errors arrive as exceptions. The native log would print them again, in red, even when CUDA is only probed. A session logs by a level of
// its own, and so do its runs.
env.logLevel = 'fatal';

/** Where and how a graph runs. */
export interface SessionConfig {
  readonly device?: 'cpu' | 'cuda';
  /** Number of the CUDA device. Default: the first. */
  readonly deviceId?: number | undefined;
  /**
   * On CUDA, operators without a kernel run on the CPU, with copies to the host and back. Default false: such a graph is
   * refused. Used to find out which operators these are.
   */
  readonly cpuFallback?: boolean;
  /** Threads inside one operator; ONNX Runtime's default (all cores) when absent. */
  readonly threads?: number;
  /** Threads spin between operators: faster alone, wasteful next to other work. Default true, as in ONNX Runtime. */
  readonly spinning?: boolean;
  /**
   * After the first run ONNX Runtime places all intermediate tensors in one block, in addition to the memory of the first
   * run, which it keeps. A training step then takes twice the memory and no less time. Default true, as in ONNX Runtime.
   */
  readonly memoryPlan?: boolean;
  /**
   * Keeps the memory of a run for the next run. Without it, memory returns to the process, for other sessions.
   * Default true, as in ONNX Runtime.
   */
  readonly arena?: boolean;
  /**
   * Merges nodes with equal inputs and keeps the common result. A training step recomputes some values in the backward
   * pass on purpose, because keeping them costs a third of a ResNet-50 step's memory.
   * Default true, as in ONNX Runtime.
   */
  readonly mergeEqualNodes?: boolean;
  /**
   * Matrix products of float16 add up in float32 on the CPU too: they are not merged with the addition of a bias to Gemm, whose kernel
   * adds up in float16 (see CpuFacts). For graphs of float16 arithmetic. Default false.
   */
  readonly wideSums?: boolean;
  /** Files to which a model given as bytes refers, by the names that it gives them; read while the session is created. */
  readonly externalData?: readonly { readonly path: string; readonly data: Uint8Array }[];
  /** File prefix for ONNX Runtime's profile; off when absent. */
  readonly profile?: string;
}

/** How a training step's graph runs: with no more memory than its values need. */
export const TRAINING_SESSION = { memoryPlan: false, mergeEqualNodes: false } as const satisfies SessionConfig;

/** CUDA was requested and cannot be used; the message has the reason and the remedy. */
export class DeviceError extends Error {
  override readonly name = 'DeviceError';
  readonly why: CudaCause;
  /** What is wrong, without the remedy. */
  readonly reason: string;

  constructor(cause: unknown) {
    const said = cause instanceof Error ? cause.message : String(cause);
    // The runtime's message does not name the missing library; the loader's does.
    const loader = /load shared library|Failed to load library/i.test(said) ? providerProblem() : undefined;
    const {
      cause: why,
      reason,
      wayOut,
    } = explainCudaFailure(loader === undefined ? [said] : [loader, said], CUDA_LIBRARIES);
    super(`CUDA cannot be used: ${reason}. ${wayOut === undefined ? 'Run' : `${wayOut}, or run`} with --device cpu.`, {
      cause,
    });
    this.why = why;
    this.reason = reason;
  }
}

/** Session options for a device. With CUDA, no operator may fall back to the CPU provider, which the runtime always adds. */
function sessionOptions(config: SessionConfig = {}): InferenceSession.SessionOptions {
  const { device = 'cpu', deviceId, threads, spinning = true, memoryPlan = true, arena = true, profile } = config;
  const { mergeEqualNodes = true, wideSums = false, externalData = [], cpuFallback = false } = config;
  const disabled = [
    ...(mergeEqualNodes ? [] : ['CommonSubexpressionElimination']),
    ...(wideSums && device === 'cpu' ? ['MatMulAddFusion'] : []),
  ];
  return {
    executionProviders: [device === 'cuda' && deviceId !== undefined ? { name: 'cuda', deviceId } : device],
    graphOptimizationLevel: 'all',
    executionMode: 'sequential',
    enableMemPattern: memoryPlan,
    enableCpuMemArena: arena,
    logSeverityLevel: FATAL,
    ...(threads === undefined ? {} : { intraOpNumThreads: threads }),
    ...(externalData.length > 0 && { externalData }),
    ...(profile === undefined ? {} : { enableProfiling: true, profileFilePrefix: profile }),
    extra: {
      session: {
        intra_op: { allow_spinning: spinning ? '1' : '0' },
        ...(device === 'cuda' && !cpuFallback && { disable_cpu_ep_fallback: '1' }),
      },
      ...(disabled.length > 0 && { optimization: { disable_specified_optimizers: disabled.join(';') } }),
    },
  };
}

function openSession(model: Uint8Array | string, config: SessionConfig): Promise<InferenceSession> {
  const options = sessionOptions(config);
  return typeof model === 'string' ? InferenceSession.create(model, options) : InferenceSession.create(model, options);
}

async function runProof(deviceId: number | undefined): Promise<void> {
  const { model, feeds, check } = cudaProof();
  const session = await openSession(model, { device: 'cuda', deviceId });
  try {
    check(await runSession(session, feeds));
  } finally {
    await session.release();
  }
}

/** The proofs that the devices of CUDA compute in this process. After a failure the next call tries again. */
const proofs = new Map<number | undefined, Promise<void>>();

/** @throws DeviceError */
async function proveCuda(deviceId: number | undefined): Promise<void> {
  const proof = proofs.get(deviceId) ?? runProof(deviceId);
  proofs.set(deviceId, proof);
  try {
    await proof;
  } catch (cause) {
    proofs.delete(deviceId);
    throw new DeviceError(cause);
  }
}

/**
 * Creates a session from model bytes or a path. Before the first one on CUDA a small convolution proves that the device
 * computes at all (see cuda/proof.ts).
 * @throws DeviceError when CUDA is asked for and cannot be loaded, does not compute, or has no kernel for an operator of
 *   the graph.
 */
export async function createSession(model: Uint8Array | string, config: SessionConfig = {}): Promise<InferenceSession> {
  if (config.device !== 'cuda') return openSession(model, config);
  await proveCuda(config.deviceId);
  try {
    return await openSession(model, config);
  } catch (cause) {
    const error = new DeviceError(cause);
    // The device works, so another error is about the graph.
    throw error.why === 'other' ? cause : error;
  }
}

/** A host tensor as ONNX Runtime takes it, sharing the data. */
export function toOrt({ dtype, shape, data }: Tensor): OrtTensor {
  return new OrtTensor(dtype, data as never, shape);
}

/** An ONNX Runtime output as a host tensor, sharing the data. */
export function fromOrt(value: OnnxValue): Tensor {
  const { type, dims, data } = value as OrtTensor;
  return tensor(type as DType, dims, data as never);
}

/** Runs a session on host tensors and returns all or the named outputs. */
export async function runSession(
  session: InferenceSession,
  feeds: ReadonlyMap<string, Tensor> | Readonly<Record<string, Tensor>>,
  fetches?: readonly string[],
): Promise<Map<string, Tensor>> {
  const entries = feeds instanceof Map ? [...feeds] : Object.entries(feeds as Record<string, Tensor>);
  const ortFeeds = Object.fromEntries(entries.map(([name, value]) => [name, toOrt(value)]));
  const results = await (fetches === undefined ? session.run(ortFeeds) : session.run(ortFeeds, [...fetches]));
  return new Map(Object.entries(results).map(([name, value]) => [name, fromOrt(value)]));
}
