import { basename, resolve } from 'node:path';
import fastify, { type FastifyInstance } from 'fastify';
import { isLocked } from '../files/processLock.js';
import { pageFolder, servePage } from '../serve/http/page.js';
import { readCheckpointIndex } from '../train/checkpoint.js';
import { configDifferences } from '../train/compareRuns.js';
import { ConfigError, type TrainConfig } from '../train/config.js';
import { LOGGED_TERMS, PANELS } from '../train/loggedTerms.js';
import { readRunConfig } from '../train/runFolder.js';
import { runLockPath } from '../train/runLock.js';
import type { MonitorOf, RunState, RunsAnswer } from './contract.js';
import { drawRunCrops } from './crops.js';
import { followLog, type LogFollower } from './logFollower.js';

/** Serves the page of training runs. */
export interface RunsServer {
  /** http://HOST:PORT/ */
  readonly url: string;
  close(): Promise<void>;
}

interface Run {
  readonly id: number;
  readonly folder: string;
  readonly name: string;
  /** Read again when the log begins anew: a run may be trained anew, or resumed with other settings. */
  config: TrainConfig;
  /** The beginning of the log that the configuration is of. */
  beginning: number;
  readonly log: LogFollower;
  /** Drawn once for a configuration, when they are asked for. */
  crops?: Promise<Buffer>;
}

/** What the collapse monitors are compared with (src/train/collapseAlarm.ts). */
function monitorsOf({ loss, model, alarm: { collapse } }: TrainConfig): MonitorOf[] {
  const monitor = (term: string, channels: number): MonitorOf => {
    const even = 1 / Math.sqrt(channels);
    return { term, even, ...(collapse.threshold > 0 && { alarm: collapse.threshold * even }) };
  };
  return [
    ...(loss.alpha > 0 ? [monitor('stde', model.expander.at(-1)!)] : []),
    ...(loss.alpha < 1 ? [monitor('stdm', model.localProjector.at(-1)!)] : []),
  ];
}

/** Reads the configuration of a log that has begun anew. It stays as it is while the folder has none, as before another run. */
async function refreshConfig(run: Run, beginning: number): Promise<void> {
  if (run.beginning === beginning) return;
  const config = await readRunConfig(run.folder).catch(() => undefined);
  if (config === undefined) return;
  run.config = config;
  run.beginning = beginning;
  delete run.crops;
}

/** The state of a run. One that cannot be read is as it was read last, with the problem: it does not hide the others. */
async function stateOf(run: Run): Promise<RunState> {
  const { id, folder, name } = run;
  let problem: string | undefined;
  const unlessUnread = <T>(reading: Promise<T>): Promise<T | undefined> =>
    reading.catch((error: Error) => {
      problem ??= error.message;
      return undefined;
    });
  await unlessUnread(run.log.read());
  const { imagesPerSecond, beginnings, ...followed } = run.log.soFar();
  await refreshConfig(run, beginnings);
  const { config } = run;
  const best = (await unlessUnread(readCheckpointIndex(folder)))?.best;
  const training = (await unlessUnread(isLocked(runLockPath(folder)))) ?? false;
  return {
    ...{ id, name, folder },
    architecture: config.model.architecture,
    alpha: config.loss.alpha,
    batchSize: config.batchSize,
    epochs: config.epochs,
    training,
    ...followed,
    ...(imagesPerSecond !== undefined && { imagesPerSecond }),
    ...(best && { best: { step: best.step, metric: best.metric, value: best.value } }),
    monitors: monitorsOf(config),
    ...(problem !== undefined && { problem }),
  };
}

const panels = Object.entries(PANELS).map(([name, panel]) => ({ name, ...panel }));
const terms = Object.entries(LOGGED_TERMS).map(([name, { panel, what }]) => ({
  name,
  ...(panel !== undefined && { panel }),
  what,
}));

async function answerOf(runs: readonly Run[]): Promise<RunsAnswer> {
  return {
    runs: await Promise.all(runs.map(stateOf)),
    panels,
    terms,
    differences: configDifferences(runs.map(({ config }) => config)).map(({ key, values }) => ({
      key,
      values: values.map((value) => value ?? null),
    })),
  };
}

/** Host names under which a browser on this machine reaches a loopback address. */
const LOCAL_HOST = /^(localhost|127\.0\.0\.1|\[::1\])(:\d+)?$/i;

interface OfRun {
  readonly Params: { readonly id: string };
  readonly Querystring: { readonly seen?: string };
}

/** The requests of the page. Errors are answered as `{"message": ...}`. */
function answerRequests(app: FastifyInstance, runs: readonly Run[]): void {
  app.addHook('onRequest', async ({ headers }, reply) => {
    reply.header('x-content-type-options', 'nosniff');
    // A page of another site whose name was made to lead here (DNS rebinding) must not read the runs.
    if (!LOCAL_HOST.test(headers.host ?? '')) {
      return reply.code(403).send({ message: 'the runs are served to this machine only' });
    }
    return undefined;
  });
  app.setErrorHandler((error: Error & { readonly statusCode?: number }, _request, reply) =>
    reply.code(error.statusCode ?? 500).send({ message: error.message }),
  );
  app.setNotFoundHandler(({ url }, reply) => reply.code(404).send({ message: `there is no ${url}` }));
  const runOf = (id: string): Run => {
    const run = /^\d+$/.test(id) ? runs[Number(id)] : undefined;
    if (run === undefined) throw Object.assign(new Error(`there is no run ${id}`), { statusCode: 404 });
    return run;
  };
  app.get('/api/runs', async (_request, reply) => reply.header('cache-control', 'no-store').send(await answerOf(runs)));
  app.get<OfRun>('/api/runs/:id/curves', async ({ params, query }, reply) => {
    const { log } = runOf(params.id);
    // The state of a run tells why its log cannot be read.
    await log.read().catch(() => undefined);
    if (query.seen === String(log.soFar().revision)) return reply.code(304).send();
    return reply.header('cache-control', 'no-store').send(log.curves());
  });
  app.get<OfRun>('/api/runs/:id/crops.png', async ({ params }, reply) => {
    const run = runOf(params.id);
    run.crops ??= drawRunCrops(run.config);
    const png = await run.crops.catch((error: Error) => {
      // The photographs may be there next time.
      delete run.crops;
      throw Object.assign(error, { statusCode: 422 });
    });
    return reply.type('image/png').header('cache-control', 'no-store').send(png);
  });
}

/**
 * Serves the page of runs on loopback. It reads the run folders and writes nothing.
 * @param folders run folders, finished or not
 * @param port 0 selects a free one
 * @throws ConfigError for a folder that holds no run, a port that cannot be bound, and a package that is not built.
 */
export async function serveRuns(folders: readonly string[], port: number): Promise<RunsServer> {
  const names = folders.map((folder) => basename(resolve(folder)));
  const runs: Run[] = await Promise.all(
    folders.map(async (folder, id) => ({
      id,
      folder,
      name: names.filter((name) => name === names[id]).length > 1 ? folder : names[id]!,
      config: await readRunConfig(folder),
      beginning: 0,
      log: followLog(folder),
    })),
  );
  const app = fastify({ forceCloseConnections: true });
  answerRequests(app, runs);
  if (!(await servePage(app, pageFolder, 'runs.html'))) {
    throw new ConfigError(`the page is not built: ${pageFolder} has no runs.html; run \`npm run build\``);
  }
  const url = await app.listen({ host: '127.0.0.1', port }).catch(async (cause: Error) => {
    await app.close();
    throw new ConfigError(`--port: cannot listen on 127.0.0.1:${port}: ${cause.message}; 0 selects a free port`);
  });
  return { url: `${url}/`, close: () => app.close() };
}
