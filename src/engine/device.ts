/** Where a model runs: `cuda` is the first CUDA device, `cuda:0,1` the devices of these numbers. */
export type Device = 'auto' | 'cpu' | 'cuda' | `cuda:${string}`;

const PATTERN = /^(?:auto|cpu|cuda(?::\d{1,3}(?:,\d{1,3})*)?)$/;

export interface DeviceChoice {
  readonly kind: 'auto' | 'cpu' | 'cuda';
  /** Numbers of the CUDA devices, as CUDA counts them (CUDA_VISIBLE_DEVICES renumbers them); none: the first device. */
  readonly ids: readonly number[];
}

/** What is wrong with the name of a device; undefined if it is one. */
export function deviceProblem(text: string): string | undefined {
  if (!PATTERN.test(text)) return 'is not auto, cpu, cuda, or cuda: with numbers of devices, such as cuda:0,1';
  const { ids } = readDevice(text as Device);
  const twice = ids.find((id, i) => ids.indexOf(id) < i);
  return twice === undefined
    ? undefined
    : `names device ${twice} twice; several workers on each device are set by workers`;
}

/** The parts of a device that `deviceProblem` has found to be one. */
export function readDevice(device: Device): DeviceChoice {
  const [kind, ids] = device.split(':') as [DeviceChoice['kind'], string?];
  return { kind, ids: ids?.split(',').map(Number) ?? [] };
}

/** The name of a device in metrics and messages. */
export const deviceName = (provider: 'cpu' | 'cuda', id = 0): string => (provider === 'cpu' ? 'cpu' : `cuda:${id}`);
