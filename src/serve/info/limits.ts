import type { Limit } from '../../proto/generated/vicregl/v1/Limit.js';
import { configKeys } from '../config/keys.js';
import type { keyGroups } from '../config/schema.js';
import type { ServeLimits } from '../limits.js';

type LimitKey = keyof (typeof keyGroups)['Limits'];

/** Every limit in force, by its key in the configuration. A new key does not compile here until it has its value. */
function valuesOf(limits: ServeLimits): Readonly<Record<LimitKey, number>> {
  const { image, output, ...others } = limits;
  return {
    ...others,
    imageBytes: image.maxBytes,
    imagePixels: image.maxPixels,
    inputPixels: output.maxOutputPixels,
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

/** Every limit with its value, as GetServerInfo tells it. */
export function limitList(limits: ServeLimits): Limit[] {
  const values = valuesOf(limits);
  return configKeys()
    .filter(({ name }) => name in values)
    .map(({ name, description }) => ({
      name: name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
      value: values[name as LimitKey],
      unit: units.find(([end]) => end.test(name))?.[1] ?? '',
      description,
    }));
}
