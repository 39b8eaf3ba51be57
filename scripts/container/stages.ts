import { readFile } from 'node:fs/promises';
import { DockerfileParser, type Instruction } from 'dockerfile-ast';

/** One instruction of a Dockerfile. */
export interface Step {
  /** Upper case. */
  readonly keyword: string;
  /** All behind the keyword, flags too, as Docker hands it on: lines joined, backslashes and quotes as they stand. */
  readonly text: string;
  /** The text at its white space. */
  readonly words: readonly string[];
}

/** The steps from one FROM to the next. */
export interface Stage {
  /** AS name of the stage, or its image. */
  readonly name: string;
  readonly image: string;
  readonly steps: readonly Step[];
}

/**
 * Lines of one instruction as BuildKit joins them: with nothing in between, without comments and empty lines behind the
 * first one. A line goes on where it ends in the escape character, blanks aside, and that is not itself escaped. The
 * parser's own reading of arguments is for editors: it takes the shell's backslashes for Docker's and drops them.
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
      `line ${line} holds a here-document, which is not read here; write the lines with ${escapeCharacter} instead`,
    );
  }
  return { keyword: instruction.getKeyword(), text, words: text.split(/\s+/) };
}

/** The stages of a Dockerfile's text, in their order. */
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

/** The stages of a Dockerfile. */
export async function readStages(path: string): Promise<Stage[]> {
  return parseStages(await readFile(path, 'utf8'));
}
