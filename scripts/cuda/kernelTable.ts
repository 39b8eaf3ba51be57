import type { ElementType } from '../../src/onnx/elementTypes.js';
import type { Attributes } from '../../src/onnx/graph.js';
import { type OperatorFacts, operators } from '../../src/onnx/operators.js';

/**
 * The kernels of ONNX Runtime's CUDA provider, from the list in its repository (docs/OperatorKernels.md), and the operator
 * sets in which each operator changed, from ONNX (docs/Operators.md). makeKernelTable.ts makes cudaKernels.tsv and
 * operatorVersions.tsv in this folder from these two documents.
 */

/** A kernel for the versions `since` to `until` of an operator. */
export interface Kernel {
  readonly domain: string;
  readonly operator: string;
  readonly since: number;
  /** The last version; null where the list says "18+". */
  readonly until: number | null;
  /** Allowed types by constraint name, such as T = float, float16. */
  readonly types: ReadonlyMap<string, ReadonlySet<string>>;
  /** Parameters of the operator. They differ between versions, so the list has one entry for each form. */
  readonly signatures: readonly Signature[];
}

/** Constraint names, or types such as tensor(int64), of the inputs and outputs in order. */
interface Signature {
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
}

/** The call that a kernel is looked up for. */
export interface KernelQuery {
  readonly operator: string;
  readonly inputs: readonly (ElementType | undefined)[];
  readonly outputs: readonly ElementType[];
  readonly attributes: Attributes;
}

const ONNX_NAMES: Partial<Record<ElementType, string>> = { float32: 'float', float64: 'double' };
const onnxName = (dtype: ElementType): string => ONNX_NAMES[dtype] ?? dtype;

const plainTypes = (text: string): string[] =>
  text
    .split(',')
    .map((type) => type.trim().replace(/^tensor\((\w+)\)$/, '$1'))
    .filter((type) => type !== '');

/** "*in* X:**T**<br> *out* Y:**T**<br><br>or<br><br>..." */
function parseSignatures(text: string): Signature[] {
  return text.split(/<br><br>or<br><br>/).map((form) => {
    const of = (kind: string) =>
      [...form.matchAll(new RegExp(`\\*${kind}\\* [^:]+:\\*\\*([^*]+)\\*\\*`, 'g'))].map((match) => match[1]!);
    return { inputs: of('in'), outputs: of('out') };
  });
}

/** "**T** = tensor(float), tensor(float16)<br/> **I** = tensor(int64)" */
function parseTypes(text: string): Map<string, Set<string>> {
  return new Map(
    text.split('<br/>').flatMap((part) => {
      const match = /\*\*(\w+)\*\* = (.+)/.exec(part);
      return match === null ? [] : [[match[1]!, new Set(plainTypes(match[2]!))]];
    }),
  );
}

/** Reads "18+", "[13, 17]" or "13". @throws Error for another form. */
function parseRange(text: string): Pick<Kernel, 'since' | 'until'> {
  const match = /^(?:\[(\d+), (\d+)\]|(\d+)(\+?))$/.exec(text.trim());
  if (match === null) throw new Error(`"${text}" is no range of versions`);
  const [, from, to, one, open] = match;
  if (from !== undefined) return { since: Number(from), until: Number(to) };
  return { since: Number(one), until: open === '+' ? null : Number(one) };
}

/**
 * Kernels of a provider, from OperatorKernels.md.
 * @throws Error if the document has no section of the provider.
 */
export function parseOperatorKernels(markdown: string, provider: string): Kernel[] {
  const start = markdown.indexOf(`## Operators implemented by ${provider}`);
  if (start < 0) throw new Error(`the document has no section of ${provider}`);
  const end = markdown.indexOf('<a name=', start);
  const kernels: Kernel[] = [];
  let domain = '';
  let operator = '';
  let signatures: Signature[] = [];
  for (const line of markdown.slice(start, end < 0 ? undefined : end).split('\n')) {
    const title = /^\|\*\*Operator Domain:\*\* \*([\w.]+)\*/.exec(line);
    if (title !== null) domain = title[1]!;
    const cells = line.split('|');
    if (title !== null || cells.length !== 6 || domain === '') continue;
    const [, name, parameters, range, types] = cells as [string, string, string, string, string];
    if (name !== '') {
      operator = name;
      signatures = parseSignatures(parameters);
    }
    kernels.push({ domain, operator, ...parseRange(range), types: parseTypes(types), signatures });
  }
  return kernels;
}

/** Versions of the operators of the default ONNX domain, ascending, from the first table of Operators.md. */
export function parseOperatorVersions(markdown: string): Map<string, number[]> {
  const versions = new Map<string, number[]>();
  for (const [, name, links] of markdown.matchAll(/^\|<a href="#(\w+)">\w+<\/a>\|([^|]+)\|/gm)) {
    const found = [...links!.matchAll(/>(\d+)<\/a>/g)].map((match) => Number(match[1]));
    if (!versions.has(name!))
      versions.set(
        name!,
        found.sort((a, b) => a - b),
      );
  }
  return versions;
}

const signatureText = (signatures: readonly Signature[]): string =>
  signatures.map(({ inputs, outputs }) => `${inputs.join(' ')} > ${outputs.join(' ')}`).join(' | ');

/** The text of cudaKernels.tsv: one line for each kernel. The lines of `about` precede them as comments. */
export function writeKernels(kernels: readonly Kernel[], about: readonly string[]): string {
  const lines = kernels.map(({ domain, operator, since, until, types, signatures }) => {
    const listed = [...types].map(([name, set]) => `${name}=${[...set].join(',')}`).join(' ');
    return [domain, operator, since, until ?? '', listed, signatureText(signatures)].join('\t');
  });
  const columns = 'domain\toperator\tsince\tuntil\ttypes\tinputs > outputs, by constraint';
  return [...about.map((line) => `# ${line}`), columns, ...lines, ''].join('\n');
}

/** The text of operatorVersions.tsv: one line for each operator. The lines of `about` precede them as comments. */
export function writeVersions(versions: ReadonlyMap<string, readonly number[]>, about: readonly string[]): string {
  const lines = [...versions].map(([operator, list]) => `${operator}\t${list.join(' ')}`);
  return [...about.map((line) => `# ${line}`), 'operator\tversions', ...lines, ''].join('\n');
}

function rowsOf(text: string): string[][] {
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return lines.slice(1).map((line) => line.split('\t'));
}

/** Reads the text that writeKernels makes. */
export function readKernels(text: string): Kernel[] {
  return rowsOf(text).map(([domain, operator, since, until, types, signatures]) => ({
    domain: domain!,
    operator: operator!,
    since: Number(since),
    until: until === '' ? null : Number(until),
    types: new Map(
      types!.split(' ').flatMap((part) => {
        const at = part.indexOf('=');
        return at < 0 ? [] : [[part.slice(0, at), new Set(part.slice(at + 1).split(','))] as const];
      }),
    ),
    signatures: signatures!.split(' | ').map((form) => {
      const [inputs, outputs] = form.split('>').map((side) => side.trim().split(' ').filter(Boolean));
      return { inputs: inputs!, outputs: outputs! };
    }),
  }));
}

/** Reads the text that writeVersions makes. */
export function readVersions(text: string): Map<string, number[]> {
  return new Map(rowsOf(text).map(([operator, versions]) => [operator!, versions!.split(' ').map(Number)]));
}

/**
 * The operator set in which an operator last changed, up to a given operator set.
 * @throws Error if the operator set does not have the operator.
 */
export function sinceVersion(
  versions: ReadonlyMap<string, readonly number[]>,
  operator: string,
  opset: number,
): number {
  const since = versions.get(operator)?.findLast((version) => version <= opset);
  if (since === undefined) throw new Error(`operator set ${opset} has no ${operator}`);
  return since;
}

/**
 * Whether a kernel covers a version of its operator. In ONNX Runtime a closed range covers all its versions, but an open
 * range covers only its first one: "18+" covers the form of version 18, and no form that a later version introduced
 * (KernelRegistry::VerifyKernelDef).
 */
export function coversVersion({ since, until }: Pick<Kernel, 'since' | 'until'>, version: number): boolean {
  return version === since || (until !== null && since < version && version <= until);
}

/** Whether the kernel takes the types of a call, in one of the forms of the operator's parameters. */
function coversTypes({ types, signatures }: Kernel, { inputs, outputs }: KernelQuery): boolean {
  const fits = (names: readonly string[], given: readonly (ElementType | undefined)[]): boolean =>
    given.every((dtype, i) => {
      if (dtype === undefined) return true;
      // The last parameter of a variadic operator repeats.
      const name = names[i] ?? names.at(-1);
      if (name === undefined) return false;
      const allowed = name.startsWith('tensor(') ? new Set(plainTypes(name)) : types.get(name);
      return allowed === undefined || allowed.has(onnxName(dtype));
    });
  const names = ({ inputs: ins, outputs: outs }: Signature) =>
    [...ins, ...outs].filter((name) => !name.startsWith('tensor('));
  // The forms whose constraints this kernel all has. The other forms belong to other versions.
  const own = signatures.filter((form) => names(form).every((name) => types.has(name)));
  return (own.length > 0 ? own : signatures).some((form) => fits(form.inputs, inputs) && fits(form.outputs, outputs));
}

/**
 * The attribute for which a kernel refuses a call although version and types fit. The list of kernels does not show
 * attributes. Our table of operators has them, from the provider's source at the same commit (cuda_execution_provider.cc,
 * batch_norm.h, scatter_nd.cc, scatter_elements.cc). The library of version 1.29 has the same messages.
 */
function refusedAttributes({ operator, attributes }: KernelQuery): string | undefined {
  const facts: Readonly<Record<string, OperatorFacts>> = operators;
  for (const [name, values] of Object.entries(facts[operator]?.cuda.refuses ?? {})) {
    const value = attributes[name];
    if ((typeof value === 'number' || typeof value === 'string') && values.includes(value)) {
      return `${operator} with ${name} ${JSON.stringify(value)} is refused by the kernel`;
    }
  }
  return undefined;
}

/**
 * The reason why there is no kernel for a call, or undefined if there is one.
 * @param opset operator set of the graph. Only operators of the default ONNX domain are looked up.
 */
export function kernelProblem(
  kernels: readonly Kernel[],
  versions: ReadonlyMap<string, readonly number[]>,
  query: KernelQuery,
  opset: number,
): string | undefined {
  const since = sinceVersion(versions, query.operator, opset);
  const own = kernels.filter(({ domain, operator }) => domain === 'ai.onnx' && operator === query.operator);
  const ofVersion = own.filter((kernel) => coversVersion(kernel, since));
  if (ofVersion.length === 0) {
    const ranges = own.map(({ since: from, until }) => (until === null ? `${from}+` : `${from}-${until}`)).join(', ');
    return `${query.operator} ${since}: there are kernels for ${ranges || 'no version'} only`;
  }
  if (ofVersion.some((kernel) => coversTypes(kernel, query))) return refusedAttributes(query);
  const types = `(${query.inputs.map((dtype) => dtype ?? '-').join(', ')}) -> (${query.outputs.join(', ')})`;
  return `${query.operator} ${since}: no kernel for ${types}`;
}
