import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Command } from 'commander';
import sharp from 'sharp';
import ts from 'typescript';
import { parse as parseYaml } from 'yaml';
import { commands } from '../../src/cli/commands.js';
import { evaluationCommand } from '../../src/cli/experiments/evaluationCommand.js';
import { recipePath } from '../../src/cli/recipes.js';
import { loadExperiment } from '../../src/experiments/experiment.js';
import { readTokens } from '../../src/serve/operations/auth/tokensFile.js';
import { trainConfigSchema } from '../../src/train/config.js';
import { type ServedProcess, startServedProcess } from '../support/servedProcess.js';
import { allSnippets, commandsOf, documents, type Snippet, snippetsOf, wordsOf } from '../support/snippets.js';
import { vicreglInHostAt } from '../support/vicregl.js';

/**
 * Every code block of the documentation works. TypeScript and Python run against a service with the bundled model. Commands
 * that take seconds are run, and others are parsed by the parser of the command line. Settings are read by the code that uses
 * them. A block of another kind fails unless it states why it cannot be run.
 */

const root = fileURLToPath(new URL('../../../', import.meta.url));
const run = promisify(execFile);
const PYTHON = '/usr/bin/python3';
const snippets = await allSnippets();
const of = (...languages: string[]): Snippet[] => snippets.filter(({ language }) => languages.includes(language));

/** A folder with the files and folders that blocks name. */
async function workFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'vicregl-snippets-'));
  await mkdir(join(folder, 'node_modules'));
  await symlink(root, join(folder, 'node_modules', 'vicregl'));
  for (const name of ['@types', 'openai']) {
    await symlink(join(root, 'node_modules', name), join(folder, 'node_modules', name));
  }
  for (const name of ['proto', 'models']) await symlink(join(root, name), join(folder, name));
  await cp(join(root, 'test/fixtures/photos'), join(folder, 'test/fixtures/photos'), { recursive: true });
  const photo = sharp(join(root, 'test/fixtures/photos/astronaut.jpg')).resize(512, 512);
  const names = ['photo', 'a', 'b', 'c', 'query', 'shelf1', 'shelf2', 'shelf3'];
  await Promise.all(
    names.map((name) =>
      photo
        .clone()
        .jpeg()
        .toFile(join(folder, `${name}.jpg`)),
    ),
  );
  return folder;
}

let served: ServedProcess;
let folder: string;
before(async () => {
  [served, folder] = await Promise.all([startServedProcess(), workFolder()]);
});
after(async () => {
  served.child.kill('SIGTERM');
  await rm(folder, { recursive: true, force: true });
});

/** The text of a block with the address of the test's service. */
const addressed = (text: string): string =>
  text.replaceAll('127.0.0.1:50051', served.address).replaceAll('127.0.0.1:8080', served.httpAddress);

test('every block has a tested language or states why it is not run', () => {
  const tested = ['', 'ts', 'python', 'sh', 'yaml', 'json', 'mermaid'];
  for (const { place, language, notRun } of snippets) {
    assert.ok(tested.includes(language) || notRun !== undefined, `${place}: nothing runs blocks of "${language}"`);
  }
  assert.ok(
    of('ts').length >= 4 && of('mermaid').length >= 2 && of('python').length >= 5 && of('sh').length >= 40,
    'the blocks are found',
  );
});

test('launchers of ranks start the command itself: npx would die of the signal that saves a run', async () => {
  for (const { file, text } of await documents()) {
    assert.doesNotMatch(text, /\b(mpirun|srun)\b[^`\n]*\bnpx\b/, file);
  }
});

test('blocks are found by their fences, with the comment before them', () => {
  const markdown = ['<!-- not run: no Go -->', '```go', 'x', '```', 'text', '```', 'y', '```'].join('\n');
  assert.deepEqual(snippetsOf('a.md', markdown), [
    { place: 'a.md:3', language: 'go', text: 'x', notRun: 'no Go' },
    { place: 'a.md:7', language: '', text: 'y', notRun: undefined },
  ]);
  assert.throws(() => snippetsOf('a.md', '```sh\nx'), /a\.md:1: the block has no end/);
});

/** A node with its label, such as `queue[Wait]` or `full{Full?}`. A line has one node or a chain of arrows. */
const flowchartNode = String.raw`\w+(?:\[[^[\](){}"|]+\]|\{[^[\](){}"|]+\})?`;
const flowchartArrow = String.raw` -->(?:\|[^|"[\](){}]+\|)? `;
/** Lines of a Mermaid flowchart, in the simple form that the documentation uses. */
const flowchartLine = new RegExp(
  `^(?:flowchart (?:LR|TD)|subgraph \\w+\\[[\\w ]+\\]|end|${flowchartNode}(?:${flowchartArrow}${flowchartNode})*)$`,
);

describe('pictures', () => {
  for (const { place, text } of of('mermaid')) {
    test(place, () => {
      const lines = text.split('\n').map((line) => line.trim());
      assert.match(lines[0]!, /^flowchart /);
      for (const line of lines) assert.match(line, flowchartLine);
      const nodes = lines.slice(1).filter((line) => !/^(?:subgraph|end)\b/.test(line));
      // A misspelt node would be drawn as an additional box with its identifier as the label.
      const labelled = new Set(nodes.flatMap((line) => [...line.matchAll(/(\w+)[[{]/g)].map(([, id]) => id!)));
      const named = nodes.flatMap((line) => line.replace(/\|[^|]*\||[[{][^\]}]*[\]}]/g, '').split(/\s*-->\s*/));
      assert.deepEqual(
        named.filter((id) => !labelled.has(id)),
        [],
      );
    });
  }
});

describe('TypeScript', () => {
  test('has the types of the package', async () => {
    const files = await Promise.all(
      of('ts').map(async ({ place, text }) => {
        const path = join(folder, `${place.replace(/\W/g, '_')}.mts`);
        // Makes every block a module, also if it imports nothing.
        await writeFile(path, `${text}\nexport {};\n`);
        return path;
      }),
    );
    const program = ts.createProgram(files, {
      ...{ strict: true, noEmit: true, skipLibCheck: true, types: ['node'], lib: ['lib.es2023.d.ts'] },
      ...{ target: ts.ScriptTarget.ES2023, module: ts.ModuleKind.NodeNext },
      moduleResolution: ts.ModuleResolutionKind.NodeNext,
    });
    const problems = ts.getPreEmitDiagnostics(program).map(({ file, start, messageText }) => {
      const line = file && start !== undefined ? file.getLineAndCharacterOfPosition(start).line + 1 : 0;
      return `${file?.fileName}:${line}: ${ts.flattenDiagnosticMessageText(messageText, '\n')}`;
    });
    assert.deepEqual(problems, []);
  });

  for (const { place, text, notRun } of of('ts')) {
    test(place, { skip: notRun ?? false }, async () => {
      const options = { target: ts.ScriptTarget.ES2023, module: ts.ModuleKind.ESNext };
      const path = join(folder, `${place.replace(/\W/g, '_')}.mjs`);
      await writeFile(path, ts.transpileModule(addressed(text), { compilerOptions: options }).outputText);
      await run(process.execPath, [path], { cwd: folder });
    });
  }
});

describe('Python', () => {
  const stubs = snippets.find(({ language, text }) => language === 'sh' && text.includes('--python_out=stubs'));
  const missing = ['/usr/bin/protoc', '/usr/bin/grpc_python_plugin', PYTHON].find((path) => !existsSync(path));
  const why = missing === undefined ? false : `${missing} is not here`;
  if (process.env['CI_PYTHON'] === 'required') assert.equal(why, false);

  test('the documented commands generate the stubs', { skip: why }, async () => {
    assert.ok(stubs && stubs.notRun === undefined);
    await run('bash', ['-euo', 'pipefail', '-c', stubs.text], { cwd: folder });
  });

  for (const { place, text, notRun } of of('python')) {
    test(place, { skip: notRun ?? why }, async () => {
      const env = { ...process.env, PYTHONPATH: 'stubs' };
      const { stdout, stderr } = await run(PYTHON, ['-c', addressed(text)], { cwd: folder, env });
      assert.equal(stderr, '');
      // The output must be the one that the comment of the block gives.
      for (const [, printed] of text.matchAll(/^ *print\(.*\) +# (.+)$/gm))
        assert.ok(stdout.includes(printed!), stdout);
    });
  }
});

describe('settings', () => {
  for (const { place, language, text } of of('yaml', 'json')) {
    test(place, async () => {
      if (language === 'json') {
        JSON.parse(text);
        return;
      }
      const value: unknown = parseYaml(text);
      if (Array.isArray(value)) {
        const path = join(folder, 'tokens.yaml');
        await writeFile(path, text);
        assert.equal((await readTokens({ tokensFile: path }))?.length, value.length);
      } else if (Object.hasOwn(value as object, 'seeds')) {
        const path = join(folder, 'experiment.yaml');
        await writeFile(path, text);
        const { variants } = await loadExperiment(path, { recipePath, evaluationCommand, variables: { DATA: 'data' } });
        assert.ok(variants.length > 0);
      } else {
        const recipe = parseYaml(await readFile(join(root, 'recipes/convnext-atto-128.yaml'), 'utf8')) as object;
        trainConfigSchema.parse({ ...recipe, ...(value as object) });
      }
    });
  }
});

/** Parses the words of a command line without running it. @throws Error of commander for invalid words */
async function readCommandLine(words: readonly string[]): Promise<void> {
  const program = new Command('vicregl').exitOverride().configureOutput({ writeErr: () => {} });
  const load = commands[words[0] ?? ''];
  assert.ok(load, `there is no command "${words[0]}"`);
  (await load())(program);
  let acted = false;
  const onAction = (): void => {
    acted = true;
  };
  const leaves = (command: Command): void => {
    command.exitOverride().configureOutput({ writeErr: () => {} });
    if (command.commands.length === 0) command.action(onAction);
    else command.commands.forEach(leaves);
  };
  leaves(program);
  await program.parseAsync(words, { from: 'user' });
  assert.ok(acted, 'a command is named');
}

/** Commands that take seconds and whose files exist. */
function isQuick([command, sub]: readonly string[], words: readonly string[]): boolean {
  if (words.some((word) => word.startsWith('ref:') || word.includes('.example') || /^[A-Z]+$/.test(word))) return false;
  if (command === 'recipes') return true;
  if (command === 'models') return sub === 'list' || sub === 'show';
  return (
    ['embed', 'features', 'match', 'match-set', 'model', 'health'].includes(command ?? '') &&
    !words.includes('models/my-model')
  );
}

async function checkScript(words: readonly string[]): Promise<void> {
  const path = words.find((word) => word.startsWith('dist/'))!;
  assert.ok(existsSync(join(root, path)), `${path} is not there`);
  const source = await readFile(join(root, path), 'utf8');
  // The flags after -- are those of "serve".
  const own = words.slice(words.indexOf(path) + 1, words.includes('--') ? words.indexOf('--') : undefined);
  for (const word of own.filter((each) => each.startsWith('--'))) {
    const name = word.slice(2).split('=')[0]!;
    assert.ok(new RegExp(`['"]?\\b${name}['"]?: \\{`).test(source), `${path} has no flag ${word}`);
  }
}

describe('commands', () => {
  const scripts = readFile(join(root, 'package.json'), 'utf8').then(
    (text) => (JSON.parse(text) as { scripts: Record<string, string> }).scripts,
  );
  for (const { place, text, notRun } of of('sh')) {
    const lines = commandsOf(text);
    test(place, async (t) => {
      assert.ok(lines.length > 0, 'there are commands');
      await run('bash', ['-n', '-c', lines.join('\n')]);
      const made = new Set<string>();
      for (const line of lines) {
        const words = wordsOf(line).filter((word) => !/^[A-Z_]+=/.test(word));
        if (words[0] === 'npx' && words[1] === 'vicregl') {
          const args = words.slice(2);
          await readCommandLine(args);
          const [, needed] = /^([\w-]+)\/[\w-]+\.[a-z]\w*$/.exec(args[args.indexOf('--out') + 1] ?? '') ?? [];
          assert.ok(needed === undefined || made.has(needed), `${line}: no command before makes the folder ${needed}`);
          if (!isQuick(args, args) || notRun !== undefined) continue;
          const asks =
            ['embed', 'features', 'match', 'model', 'health'].includes(args[0]!) && !args.includes('--local');
          const flags = asks ? [...args, '--address', served.address] : args;
          await t.test(line, async () => {
            const { code, stdout, stderr } = await vicreglInHostAt(folder, ...flags);
            assert.equal(code, 0, stderr);
            assert.ok(stdout.length > 0, 'nothing is printed');
          });
        } else if (words[0] === 'curl' && line.includes('127.0.0.1:8080')) {
          const asked = line
            .replaceAll('127.0.0.1:8080', served.httpAddress)
            .replace(/^curl (?!-f )/, 'curl --fail-with-body ')
            .replace(/^curl /, 'curl -sS ');
          await t.test(line, async () => {
            const { stdout } = await run('bash', ['-o', 'pipefail', '-c', asked], { cwd: folder });
            assert.ok(stdout.length > 0 || line.includes(' -o '), 'nothing is printed');
          });
        } else if (words[0] === 'npx' && words[1] === 'buf' && line.includes('127.0.0.1:50051')) {
          await t.test(line, async () => {
            const asked = line.replaceAll('127.0.0.1:50051', served.address);
            const { stdout } = await run('bash', ['-o', 'pipefail', '-c', asked], { cwd: root });
            assert.ok(stdout.length > 0, 'nothing is printed');
          });
        } else if (words[0] === 'node' || words.some((word) => word.startsWith('dist/'))) {
          await checkScript(words);
        } else if (words[0] === 'mkdir') {
          made.add(words.at(-1)!);
        } else if (words[0] === 'npm') {
          for (const [, name] of line.matchAll(/npm (?:run )?([\w:]+)/g)) {
            assert.ok(
              ['ci', 'pack', 'install'].includes(name!) || name! in (await scripts),
              `package.json has no "${name}"`,
            );
          }
        } else {
          const known =
            notRun !== undefined || line === stubsLine(line) || ['for', 'done', 'export'].includes(words[0] ?? '');
          assert.ok(
            known || words.length === 0,
            `${line}: nothing runs it; say why by a comment <!-- not run: REASON -->`,
          );
        }
      }
    });
  }
});

test('a page sets the variables of the experiments that it runs, before the first command', async () => {
  const found: string[] = [];
  for (const page of new Set(snippets.map(({ place }) => place.split(':')[0]!))) {
    const variables: Record<string, string> = {};
    for (const { text } of of('sh').filter(({ place }) => place.startsWith(`${page}:`))) {
      for (const line of commandsOf(text)) {
        for (const [, name, value] of line.matchAll(/(?:^|\s)([A-Z]+)=(\S+)/g)) variables[name!] = value!;
        const file = /experiments (?:run|list) (experiments\/\S+\.yaml)/.exec(line)?.[1];
        if (file === undefined) continue;
        await loadExperiment(join(root, file), { recipePath, evaluationCommand, variables });
        found.push(page);
      }
    }
  }
  assert.deepEqual([...new Set(found)].sort(), ['README.md', 'docs/experiments.md', 'docs/results.md']);
});

/** Lines of the block that generates the Python stubs. */
function stubsLine(line: string): string | undefined {
  const stubs = snippets.find(({ language, text }) => language === 'sh' && text.includes('--python_out=stubs'));
  return stubs && commandsOf(stubs.text).find((each) => each === line);
}
