import protobuf from 'protobufjs';

/**
 * The part of TensorFlow's protocol that scalars and texts need (tensorflow/core/util/event.proto,
 * framework/summary.proto, framework/tensor.proto; the field numbers are theirs).
 */
const PROTOCOL = `
syntax = "proto3";

message Event {
  double wall_time = 1;
  int64 step = 2;
  oneof what {
    string file_version = 3;
    Summary summary = 5;
    SessionLog session_log = 7;
  }
}

message SessionLog {
  enum SessionStatus { STATUS_UNSPECIFIED = 0; START = 1; }
  SessionStatus status = 1;
}

message Summary {
  repeated Value value = 1;
  message Value {
    string tag = 1;
    oneof value {
      float simple_value = 2;
      TensorProto tensor = 8;
    }
    SummaryMetadata metadata = 9;
  }
}

message SummaryMetadata {
  PluginData plugin_data = 1;
  message PluginData { string plugin_name = 1; }
}

message TensorProto {
  int32 dtype = 1;
  TensorShapeProto tensor_shape = 2;
  repeated bytes string_val = 8;
}

message TensorShapeProto {
  repeated Dim dim = 2;
  message Dim { int64 size = 1; }
}
`;

const { root } = protobuf.parse(PROTOCOL);
const Event = root.lookupType('Event');

/** DT_STRING of TensorFlow's DataType. */
const STRING = 7;
/** SessionLog.SessionStatus.START. */
const START = 1;

interface Named {
  readonly tag: string;
}

/** The content of one event. */
export type EventContent =
  | { readonly fileVersion: string }
  /** A process begins at the event's step: readers drop what earlier files have from that step on. */
  | { readonly start: true }
  | { readonly scalars: readonly (Named & { readonly value: number })[] }
  | { readonly text: Named & { readonly value: string } };

function body(content: EventContent): object {
  if ('fileVersion' in content) return { fileVersion: content.fileVersion };
  if ('start' in content) return { sessionLog: { status: START } };
  if ('scalars' in content) {
    return { summary: { value: content.scalars.map(({ tag, value }) => ({ tag, simpleValue: value })) } };
  }
  const { tag, value } = content.text;
  const tensor = { dtype: STRING, tensorShape: { dim: [{ size: 1 }] }, stringVal: [Buffer.from(value)] };
  return { summary: { value: [{ tag, tensor, metadata: { pluginData: { pluginName: 'text' } } }] } };
}

/** An event as bytes. @param wallTime seconds since 1970. */
export function encodeEvent(step: number, wallTime: number, content: EventContent): Uint8Array {
  return Event.encode(Event.fromObject({ step, wallTime, ...body(content) })).finish();
}
