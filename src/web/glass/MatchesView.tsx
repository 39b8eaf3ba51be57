import { useMemo, useState } from 'preact/hooks';
import { CopyAs } from './CopyAs.js';
import { CropEditor } from './CropEditor.js';
import { type CellIndex, sizeOf } from './geometry.js';
import { MatchControls } from './MatchControls.js';
import { MatchFigure } from './MatchFigure.js';
import { ALL, defaultCrops, type Matching, matchProgram, type Side } from './matching.js';
import type { CropRequest, HomographyJson, MatchJson, PairJson } from './messages.js';
import { Opacity } from './Opacity.js';
import { Problem } from './Problem.js';
import type { Photo } from './photo.js';
import { useProgram } from './useProgram.js';
import type { ViewProps } from './views.js';

const MODES = {
  photos: 'Two photographs, by features',
  crops: 'Two crops of the first, by features',
  location: 'Two crops of the first, by location',
} as const;
type Mode = keyof typeof MODES;

const ABSENCES: Readonly<Record<string, string>> = {
  HOMOGRAPHY_ABSENCE_TOO_FEW_PAIRS: 'fewer than 4 pairs',
  HOMOGRAPHY_ABSENCE_COLLINEAR: 'all points of one picture lie on a line',
  HOMOGRAPHY_ABSENCE_DEGENERATE: 'no 4 pairs are in general position',
};

function homographyText(
  { matrix, inlierCount = 0, inlierRms = 0, absence = '' }: HomographyJson,
  pairs: number,
): string {
  if (matrix?.length !== 9) return `No homography: ${ABSENCES[absence] ?? absence}.`;
  return `Homography: ${inlierCount} of ${pairs} pairs agree, within ${inlierRms.toFixed(1)} px (RMS).`;
}

/** The pair of a cell among the pairs of all cells. */
const pairOf = (pairs: readonly PairJson[], { row, column }: CellIndex): PairJson | undefined =>
  pairs.find(({ a }) => (a.row ?? 0) === row && (a.column ?? 0) === column);

interface Selected {
  readonly from: 0 | 1;
  readonly cell: CellIndex;
}

function bestText({ from, cell }: Selected, pair: PairJson | undefined): string {
  const own = `Row ${cell.row + 1}, column ${cell.column + 1} of the ${from === 0 ? 'first' : 'second'}`;
  if (!pair) return own;
  const other = from === 0 ? pair.b : pair.a;
  const how =
    pair.similarity === undefined
      ? `${(pair.distance ?? 0).toFixed(1)} px apart`
      : `cosine ${pair.similarity.toFixed(3)}, distance ${(pair.distance ?? 0).toFixed(2)}`;
  return `${own}: best match is row ${(other.row ?? 0) + 1}, column ${(other.column ?? 0) + 1} (${how})`;
}

/** Matches between two photographs, or between two crops of one. */
export function MatchesView({ a, b, settings, model }: ViewProps) {
  const [chosen, setMode] = useState<Mode>('photos');
  const mode: Mode = chosen === 'photos' && !b ? 'crops' : chosen;
  const [matching, setMatching] = useState<Matching>({ ...ALL, gamma: 20 });
  const [drawn, setDrawn] = useState<{ readonly photo: Photo; readonly crops: readonly [CropRequest, CropRequest] }>();
  const [overlay, setOverlay] = useState(0.5);
  const [selected, setSelected] = useState<(Selected & { readonly subject: string }) | undefined>(undefined);
  const onCrop = (index: 0 | 1, change: (crop: CropRequest) => CropRequest) =>
    setDrawn((before) => {
      const [one, other] = before?.photo === a ? before.crops : defaultCrops(sizeOf(a));
      return { photo: a, crops: index === 0 ? [change(one), other] : [one, change(other)] };
    });
  const crops = useMemo(() => (drawn?.photo === a ? drawn.crops : defaultCrops(sizeOf(a))), [drawn, a]);
  const sides: readonly [Side, Side] | undefined = useMemo(() => {
    if (mode === 'photos') return b && [{ photo: a }, { photo: b }];
    return (
      a.bitmap && [
        { photo: a, crop: crops[0] },
        { photo: a, crop: crops[1] },
      ]
    );
  }, [mode, a, b, crops]);
  const asked: Matching = useMemo(
    () => ({ ...matching, by: mode === 'location' ? 'location' : 'features' }),
    [matching, mode],
  );
  const program = useMemo(() => sides && matchProgram(sides, asked, settings, model), [sides, asked, settings, model]);
  const subject = JSON.stringify([mode, a.id, b?.id, mode === 'photos' ? 0 : crops, settings]);
  const { answers, error, loading } = useProgram(program, subject);
  const answer = answers?.at(-1) as MatchJson | undefined;

  const selection = selected?.subject === subject ? selected : undefined;
  const everyCell = useMemo(() => {
    if (!sides || !selection) return undefined;
    const [one, other] = selection.from === 0 ? sides : [sides[1], sides[0]];
    return matchProgram([one, other], { ...ALL, by: asked.by, distance: asked.distance }, settings, model);
  }, [sides, selection, asked.by, asked.distance, settings, model]);
  const all = useProgram(everyCell, `${subject} ${selection?.from}`);
  const best = useMemo(() => {
    if (!selection) return undefined;
    const found = pairOf((all.answers?.at(-1) as MatchJson | undefined)?.pairs ?? [], selection.cell);
    const pair = found && selection.from === 1 ? { ...found, a: found.b, b: found.a } : found;
    return { from: selection.from, cell: selection.cell, pair };
  }, [selection, all.answers]);

  const pairs = answer?.pairs ?? [];
  const grids = answer && ([answer.gridA, answer.gridB] as const);
  const homography = asked.homography ? answer?.homography : undefined;
  return (
    <>
      <fieldset class="choices">
        <legend class="hidden">What to match</legend>
        {(Object.keys(MODES) as Mode[]).map((each) => (
          <label key={each}>
            <input
              type="radio"
              name="mode"
              checked={each === mode}
              disabled={each === 'photos' && !b}
              onChange={() => setMode(each)}
            />
            {MODES[each]}
          </label>
        ))}
      </fieldset>
      {!b && <p class="hint lead">Show a second photograph (button 2) to match two photographs.</p>}
      {mode === 'location' && (
        <p class="hint lead">
          By location, cells are paired by their places in the photograph; the network does not run.
        </p>
      )}
      {mode !== 'photos' && a.bitmap && <CropEditor photo={a} crops={crops} onCrop={onCrop} />}
      {mode !== 'photos' && !a.bitmap && (
        <p class="empty">This browser cannot show {a.name}, and so no crops can be drawn on it.</p>
      )}
      <MatchControls matching={asked} onMatching={setMatching} cells={grids ? grids[0].rows * grids[0].columns : 49} />
      <Problem error={error ?? all.error} what="There are no matches." />
      {sides && (
        <MatchFigure
          sides={sides}
          grids={grids}
          pairs={pairs}
          homography={homography}
          overlay={homography ? overlay : 0}
          best={best}
          onCell={(from, cell) => setSelected({ from, cell, subject })}
          loading={loading}
        />
      )}
      {homography && (
        <div class="controls">
          <p>{homographyText(homography, pairs.length)}</p>
          {homography.matrix?.length === 9 && (
            <Opacity value={overlay} onValue={setOverlay} label="First picture over the second" />
          )}
        </div>
      )}
      <p class="readout row">
        <output>
          {best
            ? bestText(best, best.pair)
            : answer
              ? `${pairs.length} pairs. Click a cell, or focus a picture and use the arrow keys, to see its best match.`
              : loading
                ? 'Matching…'
                : ''}
        </output>
        {best && (
          <button type="button" onClick={() => setSelected(undefined)}>
            Show all pairs
          </button>
        )}
      </p>
      <CopyAs program={program} />
    </>
  );
}
