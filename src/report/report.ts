import type { TopLevelSpec } from 'vega-lite';
import type { ResultFigure } from '../evaluate/result/schema.js';

/**
 * What a report consists of. A builder makes sections of results (`results/resultSections.ts`) or of variants and seeds
 * (`variants.ts`); a renderer makes text of them (`markdown.ts`, `html.ts`) and `writeReport.ts` files. All strings are
 * plain text from anywhere: the renderers escape them.
 */

/** Plain text, with parts that are shown as code: commands and paths. */
export type Text = string | readonly (string | { readonly code: string })[];

/** Lower and upper bound of a 95 % interval; null where it does not exist. */
export type Interval = readonly [number | null, number | null];

/** How a figure is named and shown. `share` is 0 to 1 and shown in per cent. */
export type FigureInfo = Pick<ResultFigure, 'name' | 'label' | 'unit' | 'better'>;

export type Unit = FigureInfo['unit'];

/** A value with its interval; null where it does not exist. */
export interface Measure {
  readonly value: number | null;
  readonly interval?: Interval | undefined;
}

export interface Table {
  readonly type: 'table';
  readonly caption?: string;
  readonly columns: readonly {
    readonly label: string;
    /** Default left. */
    readonly align?: 'left' | 'right';
  }[];
  readonly rows: readonly (readonly Text[])[];
}

export interface Plot {
  readonly type: 'plot';
  /** Name of its picture without the ending: lower-case letters, digits and hyphens. Pictures of equal names are numbered. */
  readonly name: string;
  /** What the picture shows, for readers who cannot see it. */
  readonly alt: string;
  readonly spec: TopLevelSpec;
}

export interface Paragraph {
  readonly type: 'paragraph';
  readonly text: Text;
}

/** Footnotes. */
export interface Notes {
  readonly type: 'notes';
  readonly notes: readonly Text[];
}

export type Block = Table | Plot | Paragraph | Notes;

export interface Section {
  readonly title: string;
  readonly blocks: readonly Block[];
}

export interface Report {
  readonly title: string;
  readonly sections: readonly Section[];
}
