import { readFile } from 'node:fs/promises';
import { DockerfileParser, type Instruction } from 'dockerfile-ast';

/** One instruction of a Dockerfile. */
export interface Step {
  /** Keyword in upper case. */
  readonly keyword: string;
  /** The text after the keyword, flags included, as Docker passes it on: lines joined, backslashes and quotes unchanged. */
  readonly text: string;
  /** The text split at white space. */
  readonly words: readonly string[];
}

/** The steps from one FROM to the next. */
export interface Stage {
  /** Name after AS, or the image if there is none. */
  readonly name: string;
  readonly image: string;
  readonly steps: readonly Step[];
}

/**
 * Joins the lines of one instruction as BuildKit does: without a separator, and without comments and empty lines after the
 * first line. A line continues if it ends with an unescaped escape character, apart from trailing blanks. The parser's own
 * method of reading arguments is made for editors: it treats the shell's backslashes as Docker's and drops them.
 */
function joinLines(content: string, escapeCharacter: string): string {
  const [first = '', ...others] = content.split(/\r?\n/);
  const lines = [first, ...others.filter((line) => !/^\s*(#|$)/.test(line))];
  const mark = escapeCharacter === '\\' ? '\\\\' : escapeCharacter;
  return lines.map((line) => line.replace(new RegExp(`(^|[^${mark}])${mark}[ \\t]*$`), '$1')).join('');
}

function readStep(instruction: Instruction, escapeCharacter: string): Step {
  const joined = joinLines(instruction.getTextContent(), escapeCharacter);
  const text = joined.slice(instruction.getInstruction().length).trim();
  if (/^(RUN|COPY|ADD)$/i.test(instruction.getInstruction()) && /(^|\s)<<-?["']?\w/.test(text)) {
    const line = instruction.getRange().start.line + 1;
    throw new Error(
      `line ${line} holds a here-document, which is not supported here; continue the lines with ${escapeCharacter} instead`,
    );
  }
  return { keyword: instruction.getKeyword(), text, words: text.split(/\s+/) };
}

/** Reads the stages from the text of a Dockerfile, in order. */
export function parseStages(content: string): Stage[] {
  const dockerfile = DockerfileParser.parse(content);
  const stages: (Stage & { steps: Step[] })[] = [];
  for (const instruction of dockerfile.getInstructions()) {
    const step = readStep(instruction, dockerfile.getEscapeCharacter());
    const words = step.words.filter((word) => !word.startsWith('--'));
    if (step.keyword === 'FROM') stages.push({ name: words[2] ?? words[0]!, image: words[0]!, steps: [] });
    else stages.at(-1)?.steps.push(step);
  }
  return stages;
}

/** Reads the stages of a Dockerfile. */
export async function readStages(path: string): Promise<Stage[]> {
  return parseStages(await readFile(path, 'utf8'));
}
