import { readFile } from 'node:fs/promises';
import { DockerfileParser } from 'dockerfile-ast';

/** One instruction of a Dockerfile. */
export interface Step {
  /** Upper case. */
  readonly keyword: string;
  /** All behind the keyword, continued lines joined. */
  readonly text: string;
  readonly words: readonly string[];
}

/** The steps from one FROM to the next. */
export interface Stage {
  /** AS name of the stage, or its image. */
  readonly name: string;
  readonly image: string;
  readonly steps: readonly Step[];
}

/** The stages of a Dockerfile in their order. */
export async function readStages(path: string): Promise<Stage[]> {
  const dockerfile = DockerfileParser.parse(await readFile(path, 'utf8'));
  const stages: (Stage & { steps: Step[] })[] = [];
  for (const instruction of dockerfile.getInstructions()) {
    const words = instruction.getArguments().map((argument) => argument.getValue());
    const keyword = instruction.getKeyword().toUpperCase();
    if (keyword === 'FROM') stages.push({ name: words[2] ?? words[0]!, image: words[0]!, steps: [] });
    else stages.at(-1)?.steps.push({ keyword, text: words.join(' '), words });
  }
  return stages;
}
