import sharp from 'sharp';
import { withSvg } from '../../image/loaders.js';
import type { SampleCrops, SampleView } from './sampleCrops.js';

/** Height of a row and side of a view in the picture, and the gaps between, in pixels. */
const SIDE = 256;
const GAP = 12;
/** Bounds the width of the picture of a photograph that is very wide. */
const MAX_WIDTH = 2048;

/** Factor by which a photograph is scaled to fit its row. */
const scaleOf = ({ width, height }: { readonly width: number; readonly height: number }): number =>
  Math.min(SIDE / height, MAX_WIDTH / width);
const scaledSide = (side: number, scale: number): number => Math.max(1, Math.round(side * scale));

/** Outlines of the first and the second view in the photograph. */
const OUTLINES = ['#ff8c00', '#00bfff'] as const;

/** Pairs get hues far from each other by the golden angle, so that crossing lines are distinguishable. */
const GOLDEN_ANGLE = 137.508;
const colour = (pair: number) => `hsl(${((pair * GOLDEN_ANGLE) % 360).toFixed(0)}, 90%, 55%)`;
const number = (value: number) => value.toFixed(1);

interface Place {
  readonly left: number;
  readonly top: number;
}

function line(from: readonly [number, number], to: readonly [number, number], stroke: string): string {
  const [x1, y1, x2, y2] = [...from, ...to].map(number);
  return `<line x1="${x1}" y1="${y1}" x2="${x2}" y2="${y2}" stroke="${stroke}" stroke-width="1.5"/>`;
}

/** Centre of a view's cell in the picture. */
function cellCentre(cell: number, { cells }: SampleView, { left, top }: Place): [number, number] {
  const side = SIDE / cells;
  return [left + ((cell % cells) + 0.5) * side, top + (Math.floor(cell / cells) + 0.5) * side];
}

function cellBox(cell: number, view: SampleView, at: Place, stroke: string): string {
  const side = SIDE / view.cells;
  const [x, y] = cellCentre(cell, view, at);
  const corner = `x="${number(x - side / 2 + 1)}" y="${number(y - side / 2 + 1)}"`;
  return `<rect ${corner} width="${number(side - 2)}" height="${number(side - 2)}" stroke="${stroke}" stroke-width="2"/>`;
}

function grid({ cells }: SampleView, { left, top }: Place): string {
  const lines = Array.from({ length: cells - 1 }, (_, i) => {
    const at = ((i + 1) * SIDE) / cells;
    return `M${number(left + at)} ${top}v${SIDE}M${left} ${number(top + at)}h${SIDE}`;
  });
  return `<path d="${lines.join('')}" stroke="white" stroke-opacity="0.5" stroke-width="1"/>`;
}

function rowOverlay(
  { photograph, views, matches }: SampleCrops,
  photo: Place,
  places: readonly [Place, Place],
): string {
  const scale = scaleOf(photograph);
  const inPhoto = (view: SampleView, cell: number): [number, number] => [
    photo.left + view.locations[2 * cell + 1]! * scale,
    photo.top + view.locations[2 * cell]! * scale,
  ];
  const outlines = views.map(({ crop }, v) => {
    const corner = `x="${number(photo.left + crop.left * scale)}" y="${number(photo.top + crop.top * scale)}"`;
    const size = `width="${number(crop.width * scale)}" height="${number(crop.height * scale)}"`;
    return `<rect ${corner} ${size} stroke="${OUTLINES[v]!}" stroke-width="2"/>`;
  });
  const frames = places.map(
    ({ left, top }, v) =>
      `<rect x="${left}" y="${top}" width="${SIDE}" height="${SIDE}" stroke="${OUTLINES[v]!}" stroke-width="3"/>`,
  );
  const pairs = matches.map(({ source, target }, i) => {
    const [a, b] = views;
    const stroke = colour(i);
    const dots = [inPhoto(a, source), inPhoto(b, target)];
    return [
      cellBox(source, a, places[0], stroke),
      cellBox(target, b, places[1], stroke),
      line(cellCentre(source, a, places[0]), cellCentre(target, b, places[1]), stroke),
      line(dots[0]!, dots[1]!, stroke),
      ...dots.map(([x, y]) => `<circle cx="${number(x)}" cy="${number(y)}" r="2.5" fill="${stroke}"/>`),
    ].join('');
  });
  return [...views.map((view, v) => grid(view, places[v]!)), ...outlines, ...frames, ...pairs].join('');
}

/**
 * Draws photographs, a row each: the photograph with the outlines of its two views and the centres of the matched cells
 * in it, then the views as the network sees them with their cells, matched ones boxed and joined.
 * @returns a PNG file
 */
export async function drawCrops(samples: readonly SampleCrops[]): Promise<Buffer> {
  const widths = samples.map(({ photograph }) => scaledSide(photograph.width, scaleOf(photograph)));
  const first = Math.max(...widths) + GAP;
  const [width, height] = [first + 2 * SIDE + GAP * 4, samples.length * (SIDE + GAP) - GAP];
  const rows = await Promise.all(
    samples.map(async (sample, row) => {
      const top = row * (SIDE + GAP);
      const photo = { left: 0, top };
      const places = [
        { left: first, top },
        { left: first + SIDE + 4 * GAP, top },
      ] as const;
      const { photograph, views } = sample;
      const scaled = (
        data: Uint8Array,
        from: { width: number; height: number },
        to: { width: number; height: number },
        kernel: 'cubic' | 'nearest',
      ) =>
        sharp(data, { raw: { ...from, channels: 3 } })
          .resize(to.width, to.height, { fit: 'fill', kernel })
          .png()
          .toBuffer();
      const { width: w, height: h } = photograph;
      const shown = { width: widths[row]!, height: scaledSide(h, scaleOf(photograph)) };
      const inputs = [
        { input: await scaled(photograph.data, { width: w, height: h }, shown, 'cubic'), ...photo },
        ...(await Promise.all(
          views.map(async ({ pixels, size }, v) => ({
            input: await scaled(pixels, { width: size, height: size }, { width: SIDE, height: SIDE }, 'nearest'),
            ...places[v]!,
          })),
        )),
      ];
      return { inputs, overlay: rowOverlay(sample, photo, places) };
    }),
  );
  const overlay = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}"><g fill="none">${rows.map((row) => row.overlay).join('')}</g></svg>`;
  return withSvg(() =>
    sharp({ create: { width, height, channels: 3, background: 'white' } })
      .composite([...rows.flatMap(({ inputs }) => inputs), { input: Buffer.from(overlay), left: 0, top: 0 }])
      .png()
      .toBuffer(),
  );
}
