import type { EvaluationResult } from '../../evaluate/result/schema.js';
import { differencesTable } from '../differencesTable.js';
import { measureText } from '../numbers.js';
import { classesPlot, type PlottedClasses, sortedClasses } from '../plots/classesPlot.js';
import { curvesPlot } from '../plots/curvesPlot.js';
import { differencesPlot, type PlottedDifferences } from '../plots/differencesPlot.js';
import { intervalsPlot } from '../plots/intervalsPlot.js';
import type { Block, Measure, Report, Section, Text, Unit } from '../report.js';
import { aboutText, countText, dataName, KIND_TITLES, plural } from './about.js';
import { differencesAcross, obstaclesAcross } from './acrossFiles.js';
import { type Group, groupResults } from './groups.js';
import type { ResultFile } from './readResults.js';
import { haveSameContents } from './sameData.js';

/** Reports of results: a section of tables and plots for each group of comparable results. */

interface Named {
  readonly group: Group;
  /** Begins the names of its pictures. */
  readonly id: string;
  readonly title: string;
  /** Data and protocol. */
  readonly about: string;
}

/** Titles of groups name the kind and the data. Groups of one kind have numbered pictures. */
function named(groups: readonly Group[]): Named[] {
  return groups.map((group) => {
    const { kind, data } = group;
    const ofKind = groups.filter((other) => other.kind === kind);
    const on = data.find(({ role }) => role !== 'train') ?? data[0];
    return {
      group,
      id: ofKind.length === 1 ? kind : `${kind}-${ofKind.indexOf(group) + 1}`,
      title: on === undefined ? KIND_TITLES[kind] : `${KIND_TITLES[kind]} on ${dataName(on)}`,
      about: aboutText(group),
    };
  });
}

function figuresTable({ rows, figures, files }: Group): Block {
  const showsFiles = files.length > 1;
  return {
    type: 'table',
    columns: [
      { label: 'subject' },
      { label: 'model' },
      ...figures.map(({ label }) => ({ label, align: 'right' as const })),
      ...(showsFiles ? [{ label: 'file' }] : []),
    ],
    rows: rows.map(({ label, subject, files: own }) => [
      label,
      subject.model,
      ...figures.map(({ name }) => {
        const figure = subject.figures.find((each) => each.name === name);
        return figure === undefined ? '' : measureText(figure, figure.unit);
      }),
      ...(showsFiles ? [pathsText(own)] : []),
    ]),
  };
}

/** A text in its parts. */
type Parts = Exclude<Text, string>;

const pathsText = (files: readonly ResultFile[]): Parts =>
  files.flatMap(({ path }, i) => [...(i > 0 ? [', '] : []), { code: path }]);

/** Paired differences within the files, then of the model of the first file and those of the others. */
function differenceBlocks({ files, figures, rowOf }: Group): Block[] {
  const rows = new Map<string, Parameters<typeof differencesTable>[1][number]>();
  for (const file of files) {
    for (const { subject, baseline, ...difference } of file.result.comparisons) {
      const row = { ...difference, subject: rowOf(file, subject).label, baseline: rowOf(file, baseline).label };
      rows.set(JSON.stringify(row), row);
    }
  }
  const [first, ...others] = files;
  const evaluated = (file: ResultFile): string => rowOf(file, file.result.subjects[0]!.name).label;
  const across = others.flatMap((other) =>
    differencesAcross(other, first!).map((difference) => ({
      ...difference,
      subject: evaluated(other),
      baseline: evaluated(first!),
    })),
  );
  const tables = [
    differencesTable(figures, [...rows.values()], 'Paired differences'),
    differencesTable(figures, across, 'Paired differences across files'),
  ];
  return tables.filter((table) => table.rows.length > 0);
}

function figuresPlot({ group: { rows, figures }, id, title, about }: Named): Block[] {
  const subjects = rows.map(({ label, subject }) => ({
    name: label,
    figures: new Map(subject.figures.map((figure): [string, Measure] => [figure.name, figure])),
  }));
  const plot = intervalsPlot({ name: `${id}-figures`, title, about, figures, subjects });
  return plot === undefined ? [] : [plot];
}

/** A plot for each curve, with a line for each row that has it. */
function curveBlocks({ group: { rows }, id, title, about }: Named): Block[] {
  const all = rows.flatMap(({ label, subject }) => (subject.curves ?? []).map((curve) => ({ label, curve })));
  const subjects = rows.map(({ label }) => label);
  return [...new Set(all.map(({ curve }) => curve.name))].flatMap((name) => {
    const own = all.filter(({ curve }) => curve.name === name);
    const { label, x, y } = own[0]!.curve;
    const plot = curvesPlot({
      name: `${id}-${name}`,
      title: `${title}: ${label}`,
      about,
      x: x.label,
      y,
      subjects,
      curves: own.map(({ label: subject, curve }) => ({
        subject,
        x: curve.x.values,
        y: curve.y.values,
        ...(curve.y.intervals && { intervals: curve.y.intervals }),
      })),
    });
    return plot === undefined ? [] : [plot];
  });
}

/** A table and a plot for each figure that is given by class. */
function classBlocks({ group: { rows, figures }, id, title, about }: Named): Block[] {
  const all = rows.flatMap(({ label, subject }) => (subject.classes ? [{ label, classes: subject.classes }] : []));
  const subjects = rows.map(({ label }) => label);
  return [...new Set(all.map(({ classes }) => classes.figure))].flatMap((figure): Block[] => {
    const own = all.filter(({ classes }) => classes.figure === figure);
    const { label } = own[0]!.classes;
    const unit: Unit = figures.find(({ name }) => name === figure)?.unit ?? 'share';
    const values = own.map(
      ({ label: subject, classes }): PlottedClasses => ({
        subject,
        values: new Map(classes.values.map(({ name, value }) => [name, value])),
      }),
    );
    const table: Block = {
      type: 'table',
      caption: `${label} by class`,
      columns: [{ label: 'class' }, ...values.map(({ subject }) => ({ label: subject, align: 'right' as const }))],
      rows: sortedClasses(values).map((name) => [
        name,
        ...values.map(({ values: own }) => {
          const value = own.get(name);
          return value === undefined ? '' : measureText({ value }, unit);
        }),
      ]),
    };
    const plot = classesPlot({
      name: `${id}-classes-${figure}`,
      title: `${title}: ${label} by class`,
      about,
      label,
      unit,
      subjects,
      classes: values,
    });
    return plot === undefined ? [table] : [table, plot];
  });
}

/** Values of both subjects for the items that have both. */
function itemDifferences(
  a: readonly (number | null)[] | undefined,
  b: readonly (number | null)[] | undefined,
): number[] {
  return (a ?? []).flatMap((value, i) => {
    const other = b?.[i] ?? null;
    return value === null || other === null ? [] : [value - other];
  });
}

/** Histograms of the differences of items, within the files. */
function itemBlocks({ group: { files, rowOf }, id, title, about }: Named): Block[] {
  const comparisons = files.flatMap((file): PlottedDifferences[] => {
    const { subjects, comparisons: compared } = file.result;
    return compared.flatMap(({ figure, subject, baseline }) => {
      const [a, b] = [subject, baseline].map((name) => subjects.find((each) => each.name === name)!);
      const differences = itemDifferences(a!.perItem?.[figure], b!.perItem?.[figure]);
      const info = a!.figures.find(({ name }) => name === figure);
      if (differences.length === 0 || info === undefined) return [];
      const [subjectLabel, baselineLabel] = [rowOf(file, subject).label, rowOf(file, baseline).label];
      return [{ label: info.label, unit: info.unit, subject: subjectLabel, baseline: baselineLabel, differences }];
    });
  });
  if (comparisons.length === 0) return [];
  return [differencesPlot({ name: `${id}-items`, title: `${title}: differences item by item`, about, comparisons })];
}

/** Options, and the seed, that are not the same in all files, by file. */
function optionNotes(files: readonly ResultFile[]): Text[] {
  const options = files.map(({ result }): EvaluationResult['options'] => ({ ...result.options, seed: result.seed }));
  const names = [...new Set(options.flatMap(Object.keys))];
  return names.flatMap((name): Text[] => {
    const values = options.map((each) => JSON.stringify(each[name]) ?? 'not given');
    if (new Set(values).size === 1) return [];
    const parts = files.flatMap(({ path }, i) => [i > 0 ? `, ${values[i]} (` : `${values[i]} (`, { code: path }, ')']);
    return [['Not the same in all files: ', { code: name }, ' is ', ...parts, '.']];
  });
}

/** Files whose models are not compared with that of the first, since they were measured in another way. */
function obstacleNotes([first, ...others]: readonly ResultFile[]): Text[] {
  return others.flatMap((other): Text[] => {
    const names = obstaclesAcross(other, first!).map(({ name }) => name);
    if (names.length === 0) return [];
    const options = names.flatMap((name, i) => [...(i > 0 ? [', '] : []), { code: name }]);
    const files = [{ code: other.path }, ' and ', { code: first!.path }];
    return [['No paired differences of ', ...files, ', which were measured with other values of ', ...options, '.']];
  });
}

/** How a command is typed. */
const shellWord = (word: string): string =>
  /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;

/** The sources of a set: where files name several, each with its files. */
function sourcesText(files: readonly ResultFile[], set: number): Parts {
  const sources = [...new Set(files.map(({ result }) => result.data[set]!.source))];
  return sources.flatMap((source, i) => {
    const own = files.filter(({ result }) => result.data[set]!.source === source);
    const by = sources.length === 1 ? [] : [' (', ...pathsText(own), ')'];
    return [...(i > 0 ? [', '] : []), { code: source }, ...by];
  });
}

/** Sets of images, and whether those of several sources are known to be the same. */
function dataNotes({ data, files }: Group): Text[] {
  return data.flatMap(({ role, fingerprint, contents, images, skipped }, set): Text[] => {
    const used = `${plural(images, 'image')} used${skipped.length > 0 ? `, ${countText(skipped.length)} skipped` : ''}`;
    const isUnknown = files.some(({ result }) =>
      files.some(
        ({ result: other }) =>
          other.data[set]!.source !== result.data[set]!.source && haveSameContents(result, other, set) === undefined,
      ),
    );
    return [
      [
        `Data (${role}): `,
        ...sourcesText(files, set),
        `, ${fingerprint}${contents === undefined ? '' : `, contents ${contents}`}; ${used}.`,
      ],
      ...(isUnknown
        ? [
            `Data (${role}): the names are the same in all files; whether the images are cannot be told from these files.`,
          ]
        : []),
    ];
  });
}

function notes(group: Group): Text[] {
  const { files } = group;
  const fileNotes = files.map(
    ({ path, result: { command, versions, seed, created } }): Text => [
      { code: path },
      ': ',
      { code: ['vicregl', ...command.map(shellWord)].join(' ') },
      `; seed ${seed}; vicregl ${versions.vicregl}, ONNX Runtime ${versions.onnxruntime}, Node ${versions.node}; ${created}.`,
    ],
  );
  const warnings = [...new Set(files.flatMap(({ result }) => result.notes ?? []))];
  return [
    ...warnings,
    ...dataNotes(group),
    ...optionNotes(files),
    ...obstacleNotes(files),
    ...fileNotes,
    'In brackets: 95 % bootstrap intervals over the items. Differences are paired by item.',
  ];
}

function sectionOf(own: Named): Section {
  const { group, title, about } = own;
  return {
    title,
    blocks: [
      { type: 'paragraph', text: `${about}.` },
      figuresTable(group),
      ...differenceBlocks(group),
      ...figuresPlot(own),
      ...curveBlocks(own),
      ...classBlocks(own),
      ...itemBlocks(own),
      { type: 'notes', notes: notes(group) },
    ],
  };
}

/** The report of results of any kinds. */
export function resultsReport(files: readonly ResultFile[]): Report {
  return { title: 'Evaluation results', sections: named(groupResults(files)).map(sectionOf) };
}
