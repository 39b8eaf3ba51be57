/** ONNX Runtime. No other file may import onnxruntime-node: here its telemetry is off before its binding is loaded. */

// First: modules are evaluated in the order of their imports.
import './telemetry.js';

export { env, InferenceSession, listSupportedBackends, type OnnxValue, Tensor } from 'onnxruntime-node';
