import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { basename, resolve } from 'node:path';
import { isLocked } from '../files/processLock.js';
import { PAGES, readStaticFiles, sendStatic } from '../page/staticFiles.js';
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
  readonly config: TrainConfig;
  readonly log: LogFollower;
  /** Drawn once, when they are asked for. */
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

async function stateOf({ id, folder, name, config, log }: Run): Promise<RunState> {
  const { imagesPerSecond, ...followed } = await log.read();
  const { best } = await readCheckpointIndex(folder);
  return {
    ...{ id, name, folder },
    architecture: config.model.architecture,
    alpha: config.loss.alpha,
    batchSize: config.batchSize,
    epochs: config.epochs,
    training: await isLocked(runLockPath(folder)),
    ...followed,
    ...(imagesPerSecond !== undefined && { imagesPerSecond }),
    ...(best && { best: { step: best.step, metric: best.metric, value: best.value } }),
    monitors: monitorsOf(config),
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

function sendJson(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, {
    'content-type': 'application/json',
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
  });
  response.end(JSON.stringify(body));
}

/** Host names under which a browser on this machine reaches a loopback address. */
const LOCAL_HOST = /^(localhost|127\.0\.0\.1|\[::1\])(:\d+)?$/i;

/**
 * Serves the page of runs on loopback. It reads the run folders and writes nothing.
 * @param folders run folders, finished or not
 * @param port 0 selects a free one
 * @throws ConfigError for a folder that holds no run; Error naming a port that cannot be bound.
 */
export async function serveRuns(folders: readonly string[], port: number): Promise<RunsServer> {
  const files = await readStaticFiles(PAGES, 'runs.html');
  const names = folders.map((folder) => basename(resolve(folder)));
  const runs: Run[] = await Promise.all(
    folders.map(async (folder, id) => ({
      id,
      folder,
      name: names.filter((name) => name === names[id]).length > 1 ? folder : names[id]!,
      config: await readRunConfig(folder),
      log: followLog(folder),
    })),
  );

  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    // A page of another site whose name was made to lead here (DNS rebinding) must not read the runs.
    if (!LOCAL_HOST.test(request.headers.host ?? '')) return sendJson(response, 403, { message: 'not this host' });
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      return sendJson(response, 405, { message: `${request.method} is not answered here` });
    }
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://localhost');
    if (sendStatic(files, pathname, request, response)) return;
    if (pathname === '/api/runs') return sendJson(response, 200, await answerOf(runs));
    const [, id, part] = /^\/api\/runs\/(\d+)\/(curves|crops\.png)$/.exec(pathname) ?? [];
    const run = id === undefined ? undefined : runs[Number(id)];
    if (run === undefined) return sendJson(response, 404, { message: `there is no ${pathname}` });
    if (part === 'curves') {
      const { revision } = await run.log.read();
      if (searchParams.get('seen') === String(revision)) {
        response.writeHead(304).end();
        return;
      }
      return sendJson(response, 200, run.log.curves());
    }
    run.crops ??= drawRunCrops(run.config);
    try {
      const png = await run.crops;
      response.writeHead(200, { 'content-type': 'image/png', 'cache-control': 'no-store' }).end(png);
    } catch (error) {
      delete run.crops;
      sendJson(response, 422, { message: error instanceof Error ? error.message : String(error) });
    }
  };
  const server = createServer((request, response) => {
    answer(request, response).catch((error: unknown) => {
      if (response.headersSent) response.destroy();
      else sendJson(response, 500, { message: error instanceof Error ? error.message : String(error) });
    });
  });
  await new Promise<void>((started, failed) => {
    server.once('error', (cause) =>
      failed(new ConfigError(`--port: cannot listen on 127.0.0.1:${port}: ${cause.message}; 0 selects a free port`)),
    );
    server.listen(port, '127.0.0.1', started);
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    close: () =>
      new Promise((closed) => {
        server.close(() => closed());
        server.closeAllConnections();
      }),
  };
}
