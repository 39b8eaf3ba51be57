import type { GetServerInfoResponse } from '../../../proto/generated/vicregl/v1/GetServerInfoResponse.js';
import type { ServeLimits } from '../../config/serveLimits.js';
import type { ModelRegistry } from '../../inference/registry.js';
import { servedModels } from '../info/servedModels.js';
import { versions } from '../info/versions.js';
import { limitList } from './serverInfo.js';

/** GetServerInfo: versions, models and limits; what does not change is found once. */
export function createGetServerInfo(
  models: Pick<ModelRegistry, 'served'>,
  limits: ServeLimits,
): () => Promise<GetServerInfoResponse> {
  const start = performance.now();
  const { server, onnxruntime, node, platform } = versions();
  const known = {
    serverVersion: server,
    onnxruntimeVersion: onnxruntime,
    nodeVersion: node,
    platform,
    limits: limitList(limits, models.served[0]!.engine),
  };
  return async () => ({
    ...known,
    models: servedModels(models),
    uptimeSeconds: (performance.now() - start) / 1000,
  });
}
