import { arithmeticOf } from '../models/arithmetic.js';
import type { InferenceSession } from '../onnx/runtime.js';
import { createSession, DeviceError } from '../onnx/session.js';
import type { WorkerSetup } from './messages.js';
import { freeModelBytes, type ModelBytes, readModelBytes } from './modelBytes.js';

/** One session for each graph of a model. */
export interface Sessions {
  readonly backbone: InferenceSession;
  readonly localProjector?: InferenceSession;
  readonly expander?: InferenceSession;
}

export interface OpenedSessions {
  readonly sessions: Sessions;
  /** The provider that really runs. */
  readonly provider: 'cpu' | 'cuda';
  /** Why CUDA could not be used. */
  readonly cudaFailure?: string;
}

/** Names of inputs and outputs that each graph must have. */
const contracts = {
  backbone: { inputs: ['images'], outputs: ['representation', 'maps'] },
  localProjector: { inputs: ['maps'], outputs: ['maps_embedding'] },
  expander: { inputs: ['representation'], outputs: ['embedding'] },
} as const;

type Kind = keyof typeof contracts;

function checkContract(kind: Kind, path: string, session: InferenceSession): void {
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

/** Opens every graph with one provider. On failure, releases what was opened before. */
async function openAll(
  { graphs, externalData }: ModelBytes,
  { threads, deviceId, compute }: Pick<WorkerSetup, 'threads' | 'deviceId' | 'compute'>,
  provider: 'cpu' | 'cuda',
): Promise<Sessions> {
  const opened: Partial<Record<Kind, InferenceSession>> = {};
  try {
    for (const { kind, path, bytes } of graphs) {
      // Threads that spin between operators would take cores from decoding and from the service's event loop.
      const config = { device: provider, deviceId, threads, spinning: false, externalData, ...arithmeticOf(compute) };
      const session = await createSession(bytes, config).catch((error: Error) => {
        // ONNX Runtime gets bytes and does not know the path.
        if (!(error instanceof DeviceError)) error.message = `${path} cannot be loaded: ${error.message}`;
        throw error;
      });
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
 * Opens a model's graphs on a device: `auto` tries CUDA, then the CPU; `cuda` never falls back. The sessions are made from
 * exactly the bytes that were verified, and later changes of the files do not affect them.
 * @throws ModelFolderError if a file is no longer what was verified.
 * @throws DeviceError naming what is missing if `cuda` is asked for and is not available.
 * @throws Error if a graph cannot be read or does not fit its contract.
 */
export async function openSessions(setup: WorkerSetup): Promise<OpenedSessions> {
  const model = await readModelBytes(setup);
  try {
    return await openOn(model, setup);
  } finally {
    freeModelBytes(model);
  }
}

async function openOn(model: ModelBytes, setup: WorkerSetup): Promise<OpenedSessions> {
  if (setup.device !== 'auto') {
    return { sessions: await openAll(model, setup, setup.device), provider: setup.device };
  }
  try {
    return { sessions: await openAll(model, setup, 'cuda'), provider: 'cuda' };
  } catch (error) {
    // A graph that does not fit its contract fails on the CPU too.
    if (!(error instanceof DeviceError)) throw error;
    return { sessions: await openAll(model, setup, 'cpu'), provider: 'cpu', cudaFailure: error.reason };
  }
}
