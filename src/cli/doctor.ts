import type { Command } from 'commander';
import { type Examined, examine } from '../doctor/doctor.js';
import { type Finding, type Severity, worst } from '../doctor/finding.js';
import type { ServeConfig } from '../serve/config/schema.js';
import { printJson } from './printJson.js';

interface DoctorFlags {
  readonly config?: string;
  readonly model?: string[];
  readonly device?: string;
  readonly json: boolean;
}

const marks: Readonly<Record<Severity, string>> = { ok: 'ok', warning: 'warning', error: 'ERROR' };

/** `vicregl doctor`: whether this machine can run the service, and what to do if not. */
export function registerDoctor(program: Command): void {
  program
    .command('doctor')
    .description(
      'Examine this machine for the service: Node, ONNX Runtime, sharp, CUDA, limits, memory, ports, TLS, tokens, models. Exits ' +
        'with 1 if something keeps the service from running, else with 0.',
    )
    .option('--config <file>', "the service's configuration file (VICREGL_CONFIG); its variables are read, too")
    .option('--model <model>', 'model folder, by path or by name; may be repeated', (name, before: string[] = []) => [
      ...before,
      name,
    ])
    .option('--device <device>', 'auto, cpu, cuda or cuda:0,1, as of serve')
    .option('--json', 'print the findings as JSON', false)
    .action(async ({ json, ...flags }: DoctorFlags) => {
      const findings = await examine({
        configuration: () => examined(flags),
        findModel: async (name) => (await import('./modelFolders.js')).findModel(name),
        serviceAnswers,
      });
      const result = worst(findings);
      if (json) printJson({ result, findings });
      else console.log(reportText(findings, result));
      if (result === 'error') process.exitCode = 1;
    });
}

/** What the configuration says. Loaded here, since it needs packages whose absence is to be found. */
async function examined(flags: Omit<DoctorFlags, 'json'>): Promise<Examined> {
  const { readServeConfig } = await import('./serveFlags.js');
  const { limitsOf } = await import('../serve/config/limits.js');
  const { parseAddress } = await import('../serve/config/address.js');
  const { bundledModelFolder } = await import('./defaults.js');
  const { readDevice } = await import('../engine/device.js');
  const { config } = await readServeConfig({ ...flags }, process.env);
  const { requestBytes, queueBytes, mapBytes, responseBytes, storedFeaturesBytes, decodeProcesses } = limitsOf(config);
  const { address, httpAddress, metricsAddress, adminAddress } = config;
  const addresses = Object.entries({ address, httpAddress, metricsAddress, adminAddress });
  const { kind: device, ids } = readDevice(config.device);
  const modelDir = config.modelDir === undefined ? undefined : await scanned(config.modelDir);
  const models = config.model ?? (modelDir === undefined ? [bundledModelFolder] : []);
  return {
    device,
    models,
    modelDir,
    security: await securityOf(config),
    listeners: addresses
      .filter(([, each]) => each !== 'off')
      .map(([key, each]) => {
        const { host, port } = parseAddress(each, key);
        return { key, host: host.replace(/^\[|\]$/g, ''), port };
      }),
    memory: {
      bounds: { requestBytes, queueBytes, mapBytes, responseBytes, storedFeaturesBytes },
      workers: config.workers * Math.max(1, ids.length) * (models.length + (modelDir?.models.length ?? 0)),
      decodeProcesses,
    },
  };
}

/** How the service reads the files of TLS and tokens. */
async function securityOf(config: ServeConfig): Promise<Examined['security']> {
  const { expiresSoon, readCertificates } = await import('../serve/operations/auth/certificates.js');
  const { readTokens } = await import('../serve/operations/auth/tokensFile.js');
  const { adminProblem } = await import('../serve/operations/adminServer.js');
  const { tlsCert, tlsKey, tlsClientCa, adminAddress } = config;
  return {
    async certificate() {
      if (tlsCert === undefined || tlsKey === undefined) return undefined;
      const { names, expires } = await readCertificates({ tlsCert, tlsKey, tlsClientCa });
      return { names, expires, soon: expiresSoon(expires) };
    },
    async tokens() {
      const entries = await readTokens(config);
      const problem = adminProblem(adminAddress, entries?.some(({ admin }) => admin) ?? false);
      if (problem !== undefined) throw new Error(problem);
      return entries?.length;
    },
  };
}

/** What a models directory holds. */
async function scanned(dir: string): Promise<NonNullable<Examined['modelDir']>> {
  const { scanModelDir } = await import('../serve/operations/modelDir/scan.js');
  const { fileProblem } = await import('../files/fileProblem.js');
  try {
    const { models, misplaced } = await scanModelDir(dir);
    return { dir, models: [...models].map(([name, versions]) => ({ name, versions })), misplaced };
  } catch (thrown) {
    return { dir, problem: fileProblem(thrown), models: [], misplaced: [] };
  }
}

const LOCAL: Readonly<Record<string, string>> = { '0.0.0.0': '127.0.0.1', '::': '[::1]' };

/** Whether a gRPC service answers at an address, whatever it answers. */
async function serviceAnswers({ host, port }: { readonly host: string; readonly port: number }): Promise<boolean> {
  const { checkHealth } = await import('../client/health.js');
  const { VicreglError } = await import('../client/vicreglError.js');
  const named = LOCAL[host] ?? (host.includes(':') ? `[${host}]` : host);
  return checkHealth({ address: `${named}:${port}`, deadlineMs: 5000 }).then(
    () => true,
    // A service that wants a token or TLS answers with an error.
    (error: unknown) => VicreglError.from(error).code === 'UNAUTHENTICATED',
  );
}

/** The findings for people: a line each, then a paragraph for each that is not `ok`. */
function reportText(findings: readonly Finding[], result: Severity): string {
  const lines = findings.map(
    ({ check, severity, found }) => `${marks[severity].padEnd(7)}  ${check.padEnd(13)}  ${found}`,
  );
  const advices = findings.flatMap(({ check, found, advice }) => (advice ? [`\n${check}: ${found}\n  ${advice}`] : []));
  const summary = {
    ok: 'Nothing to mend.',
    warning: 'The service runs; the warnings say what limits it.',
    error: 'The service does not run here, or not as configured, until the errors are mended.',
  }[result];
  return [...lines, ...advices, '', summary].join('\n');
}
