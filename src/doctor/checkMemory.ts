import { error, type Finding, ok, size, warning } from './finding.js';

const CHECK = 'memory';

const MiB = 2 ** 20;

/** Node itself, and a worker of the bundled model after images of the usual size (docs/service/operations.md, memory). */
const LEAST = 384 * MiB;
const WORKER = 131 * MiB;
const DECODE_PROCESS = 80 * MiB;

export interface MemoryFacts {
  /** Memory of the machine in bytes. */
  readonly machine: number;
  /** Limit of the control group in bytes; 0, or more than the machine has, if there is none. */
  readonly limit: number;
  /** Free memory within both in bytes. */
  readonly available: number;
  /** Bounds of the configuration by their keys, in bytes: requests, queue, maps, responses, stored features. */
  readonly bounds: Readonly<Record<string, number>>;
  readonly workers: number;
  readonly decodeProcesses: number;
}

/** Whether the memory that this process may use holds what the configuration permits. */
export function checkMemory({ machine, limit, available, bounds, workers, decodeProcesses }: MemoryFacts): Finding {
  const limited = limit > 0 && limit < machine;
  const total = limited ? limit : machine;
  const processes = workers * WORKER + decodeProcesses * DECODE_PROCESS;
  const bounded = Object.values(bounds).reduce((sum, bytes) => sum + bytes, 0);
  const whose = limited ? `${size(total)} (limit of the control group)` : size(total);
  const found = `memory ${whose}, ${size(available)} available`;
  if (available < LEAST) {
    return error(
      CHECK,
      found,
      `The service with one small model needs ${size(LEAST)}. Stop other programs, or raise the memory limit of the container or ` +
        'the unit. With less, the kernel kills workers, and calls fail with UNAVAILABLE.',
    );
  }
  if (total >= processes + bounded) return ok(CHECK, found);
  return warning(
    CHECK,
    `${found}; the configuration permits ${size(processes + bounded)}`,
    `At its limits, the service holds up to ${size(bounded)} (${Object.keys(bounds).join(', ')}), besides ${size(processes)} for ` +
      `${workers} worker${workers === 1 ? '' : 's'} and ${decodeProcesses} decode processes. Callers reach that only under overload. Lower these ` +
      'keys, or give the service more memory, so that overload is rejected and does not end in the kernel killing it.',
  );
}
