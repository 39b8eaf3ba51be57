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
 * first one. An escape character goes on to the next line where only blanks follow it and it is not itself escaped. The parser's own
 * reading of arguments is for editors: it takes backslashes for escapes of Docker's, where they are the shell's.
 */
function joinLines(content: string, escape: string): string {
  const [first = '', ...others] = content.split(/\r?\n/);
  const lines = [first, ...others.filter((line) => !/^\s*(#|$)/.test(line))];
  const mark = escape === '\\' ? '\\\\' : escape;
  return lines.map((line) => line.replace(new RegExp(`(^|[^${mark}])${mark}[ \\t]*$`), '$1')).join('');
}

function readStep(instruction: Instruction, escape: string): Step {
  const joined = joinLines(instruction.getTextContent(), escape);
  const text = joined.slice(instruction.getInstruction().length).trim();
  if (/^(RUN|COPY|ADD)$/i.test(instruction.getInstruction()) && /(^|\s)<<-?["']?\w/.test(text)) {
    const line = instruction.getRange().start.line + 1;
    throw new Error(`line ${line} holds a here-document, which is not read here; write the lines with ${escape} instead`);
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
