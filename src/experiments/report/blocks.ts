import type { TopLevelSpec } from 'vega-lite';

/** What a report consists of: plain text, which the renderer escapes. */

export interface Table {
  readonly type: 'table';
  readonly caption?: string;
  readonly columns: readonly { readonly label: string; readonly align?: 'left' | 'right' }[];
  readonly rows: readonly (readonly string[])[];
}

export interface Plot {
  readonly type: 'plot';
  /** Name of its picture without the ending: lower-case letters, digits and hyphens. */
  readonly name: string;
  readonly alt: string;
  readonly spec: TopLevelSpec;
}

export type Block =
  | Table
  | Plot
  | { readonly type: 'paragraph'; readonly text: string }
  | { readonly type: 'notes'; readonly notes: readonly string[] };

export interface Section {
  readonly title: string;
  readonly blocks: readonly Block[];
}

export interface Report {
  readonly title: string;
  readonly sections: readonly Section[];
}
