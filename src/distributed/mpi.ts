import { bytesOf, type Collectives, type Elements } from './collectives.js';

/** Collectives by the MPI library of the machine, called through koffi. MPI itself starts the ranks (mpirun, srun) and ends them. */

/** MPI cannot be used; the message has the reason and the way out. */
class MpiError extends Error {
  override readonly name = 'MpiError';
}

/** Names under which distributions install Open MPI's library, and MPICH's and Intel's. */
const OPEN_MPI = ['libmpi.so.40', 'libmpi.so'];
const MPICH = ['libmpich.so.12', 'libmpi.so.12'];

/** Stack of the threads that run operations: koffi's default of 128 KiB is too little for MPICH. */
const STACK_BYTES = 8 * 2 ** 20;

/** Elements of one call: MPI counts in 32-bit integers. */
const MAX_COUNT = 2 ** 30;

/** MPI_THREAD_SERIALIZED: any thread may call MPI, one at a time. */
const SERIALIZED = 2;

type Koffi = typeof import('koffi').default;
type Library = ReturnType<Koffi['load']>;
type Call = ReturnType<Library['func']>;

/** How an implementation passes its constants: Open MPI as pointers to its own objects, MPICH (and its kin) as numbers. */
interface Abi {
  /** C type of communicators, types and operations. */
  readonly handle: 'void*' | 'int';
  readonly inPlace: number;
  readonly world: unknown;
  readonly float: unknown;
  readonly byte: unknown;
  readonly sum: unknown;
  /** MPI_COMM_TYPE_SHARED */
  readonly shared: number;
  readonly infoNull: unknown;
}

function openMpi(library: Library): Abi {
  const object = (name: string): unknown => library.symbol(name, 'void');
  return {
    handle: 'void*',
    inPlace: 1,
    world: object('ompi_mpi_comm_world'),
    float: object('ompi_mpi_float'),
    byte: object('ompi_mpi_byte'),
    sum: object('ompi_mpi_op_sum'),
    shared: 0,
    infoNull: object('ompi_mpi_info_null'),
  };
}

/** The numbers of the MPICH ABI (Intel MPI, MVAPICH and Cray MPICH share it). */
const mpich: Abi = {
  handle: 'int',
  inPlace: -1,
  world: 0x44000000,
  float: 0x4c00040a,
  byte: 0x4c00010d,
  sum: 0x58000003,
  shared: 1,
  infoNull: 0x1c000000,
};

async function loadKoffi(): Promise<Koffi> {
  try {
    return (await import('koffi')).default;
  } catch (cause) {
    throw new MpiError(
      '--distributed mpi calls MPI through the package koffi, which is not installed; run "npm install koffi"',
      { cause },
    );
  }
}

/** The environment by which launchers tell their processes what they are. */
type Environment = Readonly<Record<string, string | undefined>>;

/** Processes that the launcher has started: mpirun of Open MPI, mpirun of MPICH, srun. 1 if there is none. */
function launched(environment: Environment): number {
  const text =
    environment['OMPI_COMM_WORLD_SIZE'] ?? environment['PMI_SIZE'] ?? environment['SLURM_STEP_NUM_TASKS'] ?? '1';
  return Number(text);
}

/** Names of libraries to try: MPI_LIBRARY, or the usual ones, those of the launcher's implementation first. */
function candidates({ MPI_LIBRARY, PMI_RANK, PMIX_RANK }: Environment): string[] {
  if (MPI_LIBRARY) return [MPI_LIBRARY];
  // PMI is the interface of MPICH's mpirun and of `srun --mpi=pmi2`, PMIx that of Open MPI's and of `srun --mpi=pmix`.
  return PMI_RANK !== undefined && PMIX_RANK === undefined ? [...MPICH, ...OPEN_MPI] : [...OPEN_MPI, ...MPICH];
}

function loadLibrary(koffi: Koffi, names: readonly string[]): { readonly library: Library; readonly name: string } {
  const problems: string[] = [];
  for (const name of names) {
    try {
      return { library: koffi.load(name), name };
    } catch (error) {
      problems.push((error as Error).message);
    }
  }
  const tried = names.length > 1 ? `none of ${names.join(', ')} can be loaded` : `${names[0]}: ${problems[0]}`;
  throw new MpiError(
    `MPI's library cannot be loaded: ${tried}. Install Open MPI or MPICH (Debian: apt-get install openmpi-bin), or set MPI_LIBRARY to its path`,
  );
}

/** @throws MpiError for a library without the function: it is not MPI. */
function functionOf(library: Library, name: string, result: string, ...parameters: string[]): Call {
  try {
    return library.func(name, result, parameters);
  } catch (cause) {
    throw new MpiError(`the library has no ${name}, so it is not MPI; set MPI_LIBRARY to the path of MPI's library`, {
      cause,
    });
  }
}

/** The name of the implementation, in one line. */
function versionOf(library: Library, name: string): string {
  const call = functionOf(library, 'MPI_Get_library_version', 'int', 'char*', 'int*');
  // MPI_MAX_LIBRARY_VERSION_STRING is 256 in Open MPI and 8192 in MPICH.
  const text = Buffer.alloc(8192);
  const length = new Int32Array(1);
  if (call(text, length) !== 0) throw new MpiError(`${name}: MPI_Get_library_version failed`);
  return text.toString('latin1', 0, length[0]).replaceAll('\0', '').replaceAll(/\s+/g, ' ').trim();
}

export interface MpiCollectives extends Collectives {
  /** Name and version of the implementation. */
  readonly version: string;
}

/**
 * Starts MPI in this process. Without mpirun or srun the group has one rank.
 *
 * Operations run on a thread of koffi's, one after the other, so that the event loop is free.
 * @param environment MPI_LIBRARY is the path or name of MPI's library; the variables of launchers are read
 * @throws MpiError if koffi or the library is missing, is not MPI, does not belong to the launcher, or MPI refuses.
 */
export async function startMpi(environment: Environment): Promise<MpiCollectives> {
  const koffi = await loadKoffi();
  // Fails where koffi has been used before; that has made its threads as they must be.
  koffi.config({ async_stack_size: STACK_BYTES });
  const { library, name } = loadLibrary(koffi, candidates(environment));
  const version = versionOf(library, name);
  const abi = /open mpi/i.test(version) ? openMpi(library) : mpich;
  const { handle } = abi;
  const define = (call: string, ...parameters: string[]): Call => functionOf(library, call, 'int', ...parameters);

  const failed = (call: string, code: number): MpiError => {
    const text = Buffer.alloc(1024);
    const length = new Int32Array(1);
    define('MPI_Error_string', 'int', 'char*', 'int*')(code, text, length);
    return new MpiError(`${call} failed: ${text.toString('latin1', 0, length[0]) || `code ${code}`} (${version})`);
  };
  const check = (call: string, code: number): void => {
    if (code !== 0) throw failed(call, code);
  };

  const provided = new Int32Array(1);
  check(
    'MPI_Init_thread',
    define('MPI_Init_thread', 'void*', 'void*', 'int', 'int*')(null, null, SERIALIZED, provided) as number,
  );
  if (provided[0]! < SERIALIZED) {
    throw new MpiError(`${version} was built without thread support (MPI_THREAD_SERIALIZED), which is needed`);
  }
  const ask = (call: string, communicator: unknown): number => {
    const value = new Int32Array(1);
    check(call, define(call, handle, 'int*')(communicator, value) as number);
    return value[0]!;
  };
  const rank = ask('MPI_Comm_rank', abi.world);
  const size = ask('MPI_Comm_size', abi.world);
  const expected = launched(environment);
  if (size === 1 && expected > 1) {
    throw new MpiError(
      `${expected} processes were launched, and ${name} (${version}) sees one: it is not the MPI of the launcher. ` +
        "Set MPI_LIBRARY to the launcher's library, or start with its own mpirun; with srun, choose what MPI was built for (srun --mpi=pmix)",
    );
  }

  const split = define('MPI_Comm_split_type', handle, 'int', 'int', handle, handle === 'int' ? 'int*' : 'void*');
  const machine = handle === 'int' ? new Int32Array(1) : new BigInt64Array(1);
  check('MPI_Comm_split_type', split(abi.world, abi.shared, rank, abi.infoNull, machine) as number);
  const neighbours = handle === 'int' ? machine[0] : koffi.as(machine[0]!, 'void*');
  const local = { rank: ask('MPI_Comm_rank', neighbours), size: ask('MPI_Comm_size', neighbours) };

  const allGather = define('MPI_Allgather', 'intptr_t', 'int', handle, 'void*', 'int', handle, handle);
  const allReduce = define('MPI_Allreduce', 'intptr_t', 'void*', 'int', handle, handle, handle);
  const broadcast = define('MPI_Bcast', 'void*', 'int', handle, 'int', handle);
  const barrier = define('MPI_Barrier', handle);
  const abort = define('MPI_Abort', handle, 'int');
  const finalize = define('MPI_Finalize');

  /** The operation before; the next one starts when it has ended, as MPI_THREAD_SERIALIZED asks. */
  let last: Promise<unknown> = Promise.resolve();
  const run = (call: string, definition: Call, ...values: unknown[]): Promise<void> => {
    const next = last.then(
      () =>
        new Promise<void>((resolve, reject) => {
          definition.async(...values, (error: Error | null, code: number) => {
            if (error !== null) reject(error);
            else if (code !== 0) reject(failed(call, code));
            else resolve();
          });
        }),
    );
    last = next.catch(() => undefined);
    return next;
  };
  /** Parts of an array that one call takes. */
  async function inParts<T extends Float32Array | Uint8Array>(all: T, call: (part: T) => Promise<void>): Promise<void> {
    for (let start = 0; start < all.length; start += MAX_COUNT) {
      await call(all.subarray(start, Math.min(all.length, start + MAX_COUNT)) as T);
    }
  }

  return {
    ...{ rank, size, local, version },
    async allGather(all: Elements) {
      const bytes = bytesOf(all);
      const count = bytes.length / size;
      if (!Number.isInteger(count)) throw new RangeError(`${bytes.length} bytes cannot be shared by ${size} ranks`);
      if (count > MAX_COUNT) throw new RangeError(`${count} bytes of a rank are more than MPI can gather at once`);
      await run('MPI_Allgather', allGather, abi.inPlace, 0, abi.byte, bytes, count, abi.byte, abi.world);
    },
    allReduceSum: (values) =>
      inParts(values, (part) =>
        run('MPI_Allreduce', allReduce, abi.inPlace, part, part.length, abi.float, abi.sum, abi.world),
      ),
    broadcast: (values) =>
      inParts(bytesOf(values), (part) => run('MPI_Bcast', broadcast, part, part.length, abi.byte, 0, abi.world)),
    barrier: () => run('MPI_Barrier', barrier, abi.world),
    abort: (code) => {
      abort(abi.world, code);
    },
    close: () => run('MPI_Finalize', finalize),
  };
}
