import type { Engine } from '../../../engine/engine.js';
import type { Limit } from '../../../proto/generated/vicregl/v1/Limit.js';
import { configKeys } from '../../config/keys.js';
import { runLimits } from '../../config/runLimits.js';
import type { keyGroups } from '../../config/schema.js';
import type { ServeLimits } from '../../config/serveLimits.js';

type LimitKey = keyof (typeof keyGroups)['Limits'];

/** Every limit in force by its key in the configuration. A new key of the group does not compile until a limit has its name. */
function valuesOf(limits: ServeLimits, engine: Pick<Engine, 'provider'>): Readonly<Record<LimitKey, number>> {
  const { image, output, ...others } = limits;
  const { inputSizes: _, ...numbers } = output;
  const run = runLimits(limits, engine);
  return {
    ...others,
    ...image,
    ...numbers,
    batchImages: run.images,
    batchPixels: run.pixels,
  };
}

/** Units by the end of a key's name. */
const units: readonly (readonly [RegExp, string])[] = [
  [/Bytes$/, 'bytes'],
  [/Pixels$/, 'pixels'],
  [/Images$/, 'images'],
  [/(Seconds|Ttl)$/, 'seconds'],
  [/Ms$/, 'milliseconds'],
];

/** Every key of the group Limits with its value, as GetServerInfo tells it; those of a run are as on the engine's provider. */
export function limitList(limits: ServeLimits, engine: Pick<Engine, 'provider'>): Limit[] {
  const values = valuesOf(limits, engine);
  return configKeys()
    .filter(({ name }) => name in values)
    .map(({ name, description }) => ({
      name: name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
      value: values[name as LimitKey],
      unit: units.find(([end]) => end.test(name))?.[1] ?? '',
      description,
    }));
}
