import type { Tensor } from '../tensor/tensor.js';
import { encodeModel } from './encode.js';
import type { Graph } from './graph.js';
import type { OnnxValue } from './runtime.js';
import { createSession, fromOrt, type SessionConfig, toOrt } from './session.js';
import { splitAtExchanges } from './split.js';

/** A graph that runs on host tensors, into given ones. */
export interface StagedSession {
  /**
   * Runs the graph.
   * @param find the input of a name
   * @param outputs memory for outputs of the graph, by name; other outputs are not computed into anything
   */
  run(find: (name: string) => Tensor, outputs: ReadonlyMap<string, Tensor>): Promise<void>;
  close(): Promise<void>;
}

/**
 * Creates the sessions of a graph: one, or one for each stage where it is split by exchanges with other ranks.
 * @param sum replaces values by their sums over all ranks
 */
export async function createStagedSession(
  graph: Graph,
  config: SessionConfig,
  sum: (values: Float32Array) => Promise<void>,
): Promise<StagedSession> {
  const stages = graph.exchanged.size === 0 ? [{ graph, exchanges: [] }] : splitAtExchanges(graph);
  /** The last stage that reads a value, after which it is let go. */
  const lastReader = new Map<string, number>();
  stages.forEach((stage, i) => {
    for (const { name } of stage.graph.inputs) lastReader.set(name, i);
  });
  const sessions: Awaited<ReturnType<typeof createSession>>[] = [];
  const close = async (): Promise<void> => {
    for (const session of sessions) await session.release();
  };
  try {
    for (const stage of stages) sessions.push(await createSession(encodeModel(stage.graph), config));
  } catch (error) {
    await close();
    throw error;
  }
  return {
    close,
    async run(find, outputs) {
      /** Values that pass from stage to stage. */
      const cut = new Map<string, OnnxValue>();
      for (const [i, { graph: part, exchanges }] of stages.entries()) {
        const feeds = part.inputs.map(({ name }) => [name, cut.get(name) ?? toOrt(find(name))] as const);
        const wanted = [...part.outputs.keys()].filter((name) => outputs.has(name) || !graph.outputs.has(name));
        if (wanted.length === 0) continue;
        const memory = (name: string): OnnxValue | null => {
          const given = outputs.get(name);
          return given ? toOrt(given) : null;
        };
        const results = await sessions[i]!.run(
          Object.fromEntries(feeds),
          Object.fromEntries(wanted.map((name) => [name, memory(name)])),
        );
        for (const name of wanted) if (!graph.outputs.has(name)) cut.set(name, results[name]!);
        for (const { from, to } of exchanges) {
          const own = fromOrt(cut.get(from)!);
          // The stage's own value may be used too.
          const data = (own.data as Float32Array).slice();
          await sum(data);
          cut.set(to, toOrt({ ...own, data } as Tensor));
        }
        for (const name of cut.keys()) if ((lastReader.get(name) ?? -1) <= i) cut.delete(name);
      }
    },
  };
}
