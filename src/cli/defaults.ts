import { fileURLToPath } from 'node:url';

/** Name of the model that ships with the package. */
const BUNDLED_MODEL = 'vicregl-convnext-atto';

/** Its folder, three levels above this file in dist/src/cli. */
export const bundledModelFolder = fileURLToPath(new URL(`../../../models/${BUNDLED_MODEL}`, import.meta.url));

/** Where `serve` listens and the other commands look for it. Loopback: there is no authentication. */
export const DEFAULT_ADDRESS = '127.0.0.1:50051';

/** Where `serve` answers /metrics, /healthz and /readyz: the port that Prometheus reserves for OpenTelemetry. */
export const DEFAULT_METRICS_ADDRESS = '127.0.0.1:9464';
