import { basename } from 'node:path';
import type { EvaluationResult, ResultSubject } from '../../evaluate/result/schema.js';
import type { FigureInfo } from '../report.js';
import { itemPlaces } from './itemPlaces.js';
import type { ResultFile } from './readResults.js';
import { changedSets } from './sameData.js';

/** Results are comparable, and stand in one table, if they are of one kind, protocol and data. */

/** A subject of one or more files. */
export interface Row {
  /** Its name in tables and plots, which no other row has. */
  readonly label: string;
  readonly subject: ResultSubject;
  /** Whether it was evaluated, or is a baseline of another. */
  readonly isBaseline: boolean;
  /** The files that have these same values of it. */
  readonly files: readonly ResultFile[];
}

export interface Group {
  readonly kind: EvaluationResult['kind'];
  readonly protocol: string;
  readonly data: EvaluationResult['data'];
  readonly files: readonly ResultFile[];
  readonly rows: readonly Row[];
  /** Of all rows, in the order in which they appear. */
  readonly figures: readonly FigureInfo[];
  /** The row of a subject of a file. */
  rowOf(file: ResultFile, subject: string): Row;
}

/** What has to be the same, besides the contents of the images. The path of the data may differ, their fingerprint may not. */
function keyOf({ kind, protocol, data }: EvaluationResult): string {
  return JSON.stringify([kind, protocol, data.map(({ role, fingerprint, images }) => [role, fingerprint, images])]);
}

/** Printed results lack the names of items: they are comparable with any. */
const sameItems = (a: EvaluationResult, b: EvaluationResult): boolean =>
  a.items === undefined || b.items === undefined || itemPlaces(a.items, b.items) !== undefined;

interface UnnamedRow extends Omit<Row, 'label' | 'files'> {
  readonly files: ResultFile[];
}

/** Rows of equal values are one: the same random weights are a baseline in many files. */
function rowsOf(files: readonly ResultFile[]): UnnamedRow[] {
  const rows = new Map<string, UnnamedRow>();
  for (const file of files) {
    for (const [i, subject] of file.result.subjects.entries()) {
      const { name, model, digest, figures, curves, classes } = subject;
      const isBaseline = i > 0;
      // An evaluated model has a row for each of its evaluations.
      const key = JSON.stringify(isBaseline ? [name, model, digest, figures, curves, classes] : [file.path]);
      const row = rows.get(key);
      if (row === undefined) rows.set(key, { subject, isBaseline, files: [file] });
      else row.files.push(file);
    }
  }
  return [...rows.values()].sort((a, b) => Number(a.isBaseline) - Number(b.isBaseline));
}

/** Names that tell a row from others, the shortest first. */
function namesOf({ subject: { name, model }, isBaseline, files }: UnnamedRow): string[] {
  const short = isBaseline ? name : model;
  const paths = files.map(({ path }) => path);
  const long = short === model ? short : `${short} (${model})`;
  return [short, long, `${long}, ${basename(paths[0]!)}`, `${long}, ${paths[0]}`];
}

/** The first name of each row that no other row has at that length. */
function labelsOf(rows: readonly UnnamedRow[]): string[] {
  const names = rows.map(namesOf);
  const labels = names.map((own) => {
    const unique = own.findIndex((name, length) => names.filter((other) => other[length] === name).length === 1);
    return own[unique === -1 ? own.length - 1 : unique]!;
  });
  // Rows may still share a name, such as two evaluations of one model with a baseline of that name.
  return labels.map((label, i) => (labels.indexOf(label) === i ? label : `${label} (${i + 1})`));
}

function figuresOf(rows: readonly UnnamedRow[]): FigureInfo[] {
  const figures = new Map<string, FigureInfo>();
  for (const { subject } of rows) {
    for (const { name, label, unit, better } of subject.figures) {
      if (!figures.has(name)) figures.set(name, { name, label, unit, better });
    }
  }
  return [...figures.values()];
}

function groupOf(files: readonly ResultFile[]): Group {
  const { kind, protocol, data } = files[0]!.result;
  const unnamed = rowsOf(files);
  const labels = labelsOf(unnamed);
  const rows = unnamed.map((row, i): Row => ({ ...row, label: labels[i]! }));
  return {
    kind,
    protocol,
    data,
    files,
    rows,
    figures: figuresOf(unnamed),
    rowOf: (file, name) => rows.find((row) => row.files.includes(file) && row.subject.name === name)!,
  };
}

/** Results by kind, protocol, data and items; groups of one kind follow each other, in the order of the files. */
export function groupResults(files: readonly ResultFile[]): Group[] {
  const groups: ResultFile[][] = [];
  for (const file of files) {
    const group = groups.find(
      (members) =>
        keyOf(members[0]!.result) === keyOf(file.result) &&
        members.every(({ result }) => sameItems(result, file.result) && changedSets(result, file.result).length === 0),
    );
    if (group === undefined) groups.push([file]);
    else group.push(file);
  }
  const kinds = [...new Set(files.map(({ result }) => result.kind))];
  return kinds.flatMap((kind) => groups.filter(([first]) => first!.result.kind === kind).map(groupOf));
}
