import { useMemo, useState } from 'preact/hooks';
import { CopyAs } from './CopyAs.js';
import { componentColours, componentRanges } from './colours.js';
import { MapPanels } from './MapPanels.js';
import { Opacity } from './Opacity.js';
import { Problem } from './Problem.js';
import type { Program } from './program.js';
import { Reference } from './reference.js';
import { featuresRequest, imageRequest, mapOf, mapPath } from './settings.js';
import { readTensor } from './tensor.js';
import { useProgram } from './useProgram.js';
import type { ViewProps } from './views.js';

const percent = (share: number) => `${(share * 100).toFixed(0)} %`;

/** The first three principal components of the map as red, green and blue. */
export function ComponentsView({ a, b, settings, model }: ViewProps) {
  const [opacity, setOpacity] = useState(0.85);
  const [shared, setShared] = useState(true);
  const program: Program = useMemo(() => {
    const own = { pca: { components: 3 } };
    const first = featuresRequest(imageRequest(a, settings, model), settings, own);
    if (!b) return [first];
    const basis = { pca: { basis: new Reference(0, ...mapPath(settings), 'pca', 'basis') } };
    return [first, featuresRequest(imageRequest(b, settings, model), settings, shared ? basis : own)];
  }, [a, b, shared, settings, model]);
  const { answers, error, loading } = useProgram(program, `${a.id} ${b?.id} ${settings.stage}`);
  const maps = useMemo(() => {
    const found = answers?.map((answer) => mapOf(answer, settings)) ?? [];
    const vectors = found.map(({ features }) => readTensor(features));
    const together = componentRanges(vectors);
    return found.map(({ grid, pca }, i) => ({
      grid,
      colours: componentColours(vectors[i]!, shared ? together : componentRanges([vectors[i]!])),
      ratios: pca?.explainedVarianceRatio ?? [],
    }));
  }, [answers, settings, shared]);
  const captionOf = (i: number): string => {
    const map = maps[i];
    if (!map) return loading ? 'being computed' : 'no map';
    const sum = map.ratios.reduce((total, ratio) => total + ratio, 0);
    const of = i > 0 && shared ? ' (basis of the first photograph)' : '';
    return `${map.grid.rows} x ${map.grid.columns} cells; three components have ${percent(sum)} of the variance${of}`;
  };
  return (
    <>
      <p class="about">
        The vector of every cell, reduced to three principal components, as red, green and blue. Cells with similar
        colours have similar features{b && shared ? ', also across both photographs' : ''}.
      </p>
      <div class="controls">
        <Opacity value={opacity} onValue={setOpacity} />
        {b && (
          <label class="check">
            <input type="checkbox" checked={shared} onChange={(event) => setShared(event.currentTarget.checked)} />
            Same basis for both
          </label>
        )}
      </div>
      <Problem error={error} what="The components cannot be shown." />
      <MapPanels {...{ a, b, maps, captionOf, opacity, loading }} />
      <CopyAs program={program} />
    </>
  );
}
