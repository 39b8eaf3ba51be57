import { useMemo } from 'preact/hooks';
import type { GridJson } from './messages.js';
import type { Program } from './program.js';
import { featuresRequest, imageRequest, mapOf } from './settings.js';
import { readTensor, type Vectors } from './tensor.js';
import { useProgram } from './useProgram.js';
import type { ViewProps } from './views.js';

export interface ShownMap {
  readonly grid: GridJson;
  readonly vectors: Vectors;
}

/** The maps of one or two photographs with all their channels: int8, a quarter of the bytes. */
export function useMaps({ a, b, settings, model }: ViewProps) {
  const program: Program = useMemo(
    () =>
      [a, b].flatMap((photo) =>
        photo ? [featuresRequest(imageRequest(photo, settings, model), settings, { dtype: 'DATA_TYPE_INT8' })] : [],
      ),
    [a, b, settings, model],
  );
  const outcome = useProgram(program, `${a.id} ${b?.id} ${settings.stage}`);
  const maps: ShownMap[] = useMemo(
    () =>
      outcome.answers?.map((answer) => {
        const { features, grid } = mapOf(answer, settings);
        return { grid, vectors: readTensor(features) };
      }) ?? [],
    [outcome.answers, settings],
  );
  return { program, maps, error: outcome.error, loading: outcome.loading };
}
