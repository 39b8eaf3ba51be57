import * as ort from 'onnxruntime-node';
import type { WorkerSetup } from './workerMessages.js';

/** One session for each graph of a model. */
export interface Sessions {
  readonly backbone: ort.InferenceSession;
  readonly localProjector?: ort.InferenceSession;
  readonly expander?: ort.InferenceSession;
}

export interface OpenedSessions {
  readonly sessions: Sessions;
  /** The provider that really runs. */
  readonly provider: 'cpu' | 'cuda';
  /** Why CUDA was tried and given up. */
  readonly cudaFailure?: string;
}

/** Names of inputs and outputs that each graph must have. */
const contracts = {
  backbone: { inputs: ['images'], outputs: ['representation', 'maps'] },
  localProjector: { inputs: ['maps'], outputs: ['maps_embedding'] },
  expander: { inputs: ['representation'], outputs: ['embedding'] },
} as const;

type Kind = keyof typeof contracts;

function sessionOptions(provider: 'cpu' | 'cuda', threads: number): ort.InferenceSession.SessionOptions {
  return {
    // CUDA alone: with the CPU named beside it, a CUDA that does not load is replaced in silence.
    executionProviders: [provider],
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    executionMode: 'sequential',
    graphOptimizationLevel: 'all',
    logSeverityLevel: 3, // errors; warnings of 2 are about placement and say nothing to a user
    // Threads that spin between operators keep the cores from decoding and from answering.
    extra: { session: { intra_op: { allow_spinning: '0' }, inter_op: { allow_spinning: '0' } } },
  };
}

function checkContract(kind: Kind, path: string, session: ort.InferenceSession): void {
  const { inputs, outputs } = contracts[kind];
  const extraInput = session.inputNames.find((name) => !(inputs as readonly string[]).includes(name));
  const missing = [
    ...inputs.filter((name) => !session.inputNames.includes(name)).map((name) => `input ${name}`),
    ...outputs.filter((name) => !session.outputNames.includes(name)).map((name) => `output ${name}`),
  ];
  if (extraInput !== undefined)
    throw new Error(`${path}: unknown input ${extraInput}; it takes ${inputs.join(', ')} alone`);
  if (missing.length > 0) {
    throw new Error(
      `${path} lacks ${missing.join(', ')}; it has inputs ${session.inputNames.join(', ')} and outputs ${session.outputNames.join(', ')}`,
    );
  }
}

/** Opens every graph with one provider; what was opened before a failure is released. */
async function openAll(setup: WorkerSetup, provider: 'cpu' | 'cuda'): Promise<Sessions> {
  const opened: Partial<Record<Kind, ort.InferenceSession>> = {};
  try {
    for (const kind of ['backbone', 'localProjector', 'expander'] as const) {
      const path = setup.graphs[kind];
      if (path === undefined) continue;
      const session = await ort.InferenceSession.create(path, sessionOptions(provider, setup.threads));
      opened[kind] = session;
      checkContract(kind, path, session);
    }
  } catch (error) {
    for (const session of Object.values(opened)) await session.release();
    throw error;
  }
  return opened as Sessions;
}

/**
 * Opens a model's graphs on the device that was asked for: `auto` tries CUDA, then the CPU; `cuda` never falls back.
 * @throws Error naming what is missing where CUDA is asked for and cannot be had, or a graph does not fit.
 */
export async function openSessions(setup: WorkerSetup): Promise<OpenedSessions> {
  if (setup.device === 'cpu') return { sessions: await openAll(setup, 'cpu'), provider: 'cpu' };
  try {
    return { sessions: await openAll(setup, 'cuda'), provider: 'cuda' };
  } catch (cause) {
    const reason = (cause instanceof Error ? cause.message : String(cause)).split('\n')[0]!;
    if (setup.device === 'auto') {
      return { sessions: await openAll(setup, 'cpu'), provider: 'cpu', cudaFailure: reason };
    }
    throw new Error(
      `device cuda cannot be used: ${reason}. It needs an NVIDIA GPU with its driver, CUDA 12 and cuDNN 9, and ` +
        "onnxruntime-node's CUDA libraries (npm run install:cuda); or use --device cpu",
      { cause },
    );
  }
}
