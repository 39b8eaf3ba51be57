/**
 * Shows where onnxruntime-node can keep the tensors of a session: what becomes of outputs for which a place on the device, or pinned memory, is
 * asked, and whether an input in pinned memory is accepted. Prints one line of JSON for each.
 *
 *   node dist/scripts/cuda/tensorLocations.js --device cuda
 */
import { parseArgs } from 'node:util';
import { tensorLocations } from '../../src/onnx/cuda/tensorLocations.js';

const { values } = parseArgs({ options: { device: { type: 'string', default: 'cuda' } } });
const { device } = values;
if (device !== 'cpu' && device !== 'cuda') throw new Error(`--device is ${device}; it is cpu or cuda`);
for (const row of await tensorLocations(device)) console.log(JSON.stringify(row));
