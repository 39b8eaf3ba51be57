import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { cellName, selectCells } from '../../experiments/cells.js';
import { loadExperiment } from '../../experiments/experiment.js';
import { intentWarnings } from '../../train/intent.js';
import { unusedKeyWarnings } from '../../train/unusedKeys.js';
import { recipePath } from '../recipes.js';
import { evaluationCommand } from './evaluationCommand.js';

describe('loadExperiment', () => {
  let root: string;
  before(async () => {
    root = await mkdtemp(join(tmpdir(), 'vicregl-experiment-'));
  });
  after(() => rm(root, { recursive: true }));

  const write = async (name: string, text: string) => {
    await mkdir(join(root, 'shared'), { recursive: true });
    await writeFile(join(root, name), text);
    return join(root, name);
  };
  const loadFile = (path: string, variables = { DATA: '/data' }) =>
    loadExperiment(path, { recipePath, evaluationCommand, variables });
  const load = async (text: string) => loadFile(await write('experiment.yaml', text));
  const minimal = 'name: a\nrecipe: convnext-atto-128\nseeds: [1, 2]\n';

  const refused: Readonly<Record<string, readonly [string, RegExp]>> = {
    'text that is not YAML': ['name: [', /experiment\.yaml is not YAML: .*line 1/],
    'an unknown key': [`${minimal}variant: {}`, /line 4, \(top level\): "variant" is no key; did you mean variants\?/],
    'a value of another type': [`${minimal}baseline: 3`, /line 4, baseline: 3 is an invalid input/],
    'seeds that are no numbers': [`name: a\nseeds:\n  - 1\n  - b`, /line 4, seeds\.1: "b" is an invalid input/],
    'a seed that is there twice': ['name: a\nseeds: [1, 1]', /line 2, seeds\.1: 1 is there twice/],
    'a name that leads out of the folder': [
      `${minimal}variants:\n  ../x: {}`,
      /line 5, variants\.\.\.\/x: "\.\.\/x" cannot be a name/,
    ],
    'an evaluation that is named as another file of a cell': [
      `${minimal}evaluations: {cell: {kind: knn}}`,
      /"cell" is the name of another file of a cell/,
    ],
    'no name': ['seeds: [1]', /: name is missing; add a name/],
    'no recipe': ['name: a\nseeds: [1]', /: recipe is missing; name a bundled recipe/],
    'no seeds': ['name: a\nrecipe: convnext-atto-128', /: seeds is missing; add them, such as seeds: \[1, 2, 3\]/],
    'a recipe that does not exist': [
      'name: a\nseeds: [1]\nrecipe: convnext',
      /there is no recipe "convnext"; use one of convnext-atto-128/,
    ],
    'a configuration that does not exist': [
      'name: a\nseeds: [1]\nrecipe: ./none.yaml',
      /the configuration .*none\.yaml cannot be read/,
    ],
    'a misspelt key of the training configuration': [
      `${minimal}variants: {b: {loss.alpa: 1}}`,
      /experiment\.yaml: variants\.b: loss\.alpa=1: loss: "alpa" is no key; did you mean alpha\?/,
    ],
    'a value that training rejects': [
      `${minimal}variants: {ok: {}, b: {loss: {alpha: 2}}}`,
      /variants\.b: loss\.alpha=2 does not fit variant b of .*\n {2}loss\.alpha: 2 is too big/,
    ],
    'a value of the matrix that training rejects': [
      `${minimal}matrix: {loss.alpha: [1, 2]}`,
      /matrix\.loss\.alpha: loss\.alpha=2 does not fit variant alpha-2 of/,
    ],
    'a seed among the keys': [`${minimal}set: {seed: 3}`, /set: seed=3: remove it; list them under seeds/],
    'two variants of one name': [`${minimal}matrix: {loss.alpha: [1, 1]}`, /two variants are named alpha-1/],
    'a baseline that does not exist': [
      `${minimal}matrix: {loss.alpha: [1, 0.5]}\nbaseline: alpha1`,
      /baseline: there is no variant "alpha1"; did you mean alpha-1\?/,
    ],
    'a baseline on an axis that does not exist': [
      `${minimal}matrix: {loss.alpha: [1, 0.5]}\nbaseline: {alpha: 1}`,
      /baseline: the matrix has no axis "alpha"/,
    ],
    'a baseline whose value does not exist': [
      `${minimal}matrix: {loss.alpha: [1, 0.5]}\nbaseline: {loss.alpha: 0.7}`,
      /baseline: the matrix has no \{"loss\.alpha":0\.7\}/,
    ],
    'an unknown evaluation': [
      `${minimal}evaluations: {kn: {train: x}}`,
      /evaluations\.kn: there is no evaluation "kn"; did you mean knn\?/,
    ],
    'an unknown flag': [
      `${minimal}evaluations: {knn: {trai: x}}`,
      /evaluations\.knn\.trai: evaluate knn has no flag --trai; did you mean train\?/,
    ],
    'a negated flag by the name of what it turns off': [
      `${minimal}evaluations: {segmentation: {data: x, flip: false}}`,
      /evaluations\.segmentation\.flip: .* has no flag --flip; write no-flip: true to turn it off/,
    ],
    'a flag in both spellings': [
      `${minimal}evaluations: {knn: {train: x, train-images: 4, trainImages: 6}}`,
      /evaluations\.knn\.trainImages: --train-images is also given as train-images; remove one/,
    ],
    'a missing flag': [`${minimal}evaluations: {knn: {k: 3}}`, /evaluations\.knn: required option '--train <path>'/],
    'a value that the command rejects': [
      `${minimal}evaluations: {knn: {train: x, k: 0}}`,
      /evaluations\.knn: option '--k <count>' argument '0' is invalid\. It must be a whole number/,
    ],
    'a flag that cells decide': [
      `${minimal}evaluations: {knn: {train: x, model: y}}`,
      /evaluations\.knn\.model: remove it; each cell evaluates its own run/,
    ],
    'a switch with a value': [
      `${minimal}evaluations: {matches: {images: x, augment: 3}}`,
      /evaluations\.matches\.augment: 3 is not true or false/,
    ],
    'a variant with the name of the report': [
      `${minimal}variants: {report: {}}`,
      /a variant cannot be named report: .*choose another/,
    ],
    'a value of the matrix with the name of the report': [
      `${minimal}matrix: {network: {report: {}, other: {epochs: 2}}}`,
      /a variant cannot be named report/,
    ],
    'an output that is a part of the run': [
      `${minimal}evaluations: {segmentation: {data: x, outHead: "\${CELL}/checkpoints"}}`,
      /evaluations\.segmentation\.outHead: .*the cell itself uses this name/,
    ],
    'a variable that is not set': [
      `${minimal}evaluations: {knn: {train: "\${DATAA}/x"}}`,
      /evaluations\.knn, train: the variable DATAA is not set; set it/,
    ],
    'a variable that is not set in the configuration': [
      `${minimal}set: {data.source: "\${DATAA}/x"}`,
      /variant base of .*, data\.source: the variable DATAA is not set/,
    ],
    'a variable that is not closed': [
      `${minimal}set: {data.source: "\${DATA"}`,
      /write \$\{NAME\} for the value of a variable/,
    ],
    'a base file that does not exist': [
      'extends: ./none.yaml',
      /none\.yaml, which .*experiment\.yaml extends, cannot be read/,
    ],
    'files that extend each other': ['extends: ./experiment.yaml', /extends goes round in a circle/],
  };
  for (const [what, [text, message]] of Object.entries(refused)) {
    it(`rejects ${what}`, () => assert.rejects(load(text), message));
  }

  it('crosses variants with the axes of the matrix, and compares along the axis of the baseline', async () => {
    const { variants, evaluations } = await load(`${minimal}
variants: {plain: {}, top: {loss.featureMatches: top}}
matrix:
  loss.alpha: [1, 0.5]
  network: {atto: {}, resnet: {model.architecture: resnet18, optimizer: {kind: lars}}}
baseline: {loss.alpha: 1}
set: {data.source: "\${DATA}/photographs"}
evaluations:
  few: {kind: knn, train: "\${DATA}/x", trainImages: 10, baseline: [random, pixels], cache: "\${OUT}/cache"}
`);
    assert.deepEqual(
      variants.map(({ name, baseline }) => [name, baseline]),
      ['plain', 'top'].flatMap((group) =>
        ['1', '0.5'].flatMap((alpha) =>
          ['atto', 'resnet'].map((network) => [`${group}_alpha-${alpha}_${network}`, `${group}_alpha-1_${network}`]),
        ),
      ),
    );
    const last = variants.at(-1)!;
    assert.deepEqual(last.numbers, { 'loss.alpha': 0.5 });
    const config = last.configOf(2);
    assert.deepEqual(
      [
        config.seed,
        config.name,
        config.data.source,
        config.model.architecture,
        config.loss.alpha,
        config.optimizer.kind,
      ],
      [2, 'a-top_alpha-0.5_resnet-seed-2', '/data/photographs', 'resnet18', 0.5, 'lars'],
    );
    // The location of the data is not part of the settings: parts of an experiment may run on several machines.
    assert.equal((last.settings['data'] as { source: string }).source, ['$', '{DATA}/photographs'].join(''));
    const [few] = evaluations;
    assert.deepEqual(few!.argumentsIn({ cell: 'C', out: 'O', seed: 5 }), [
      '--seed=0',
      '--train=/data/x',
      '--train-images=10',
      '--baseline=random',
      '--baseline=pixels',
      '--cache=O/cache',
    ]);
    assert.deepEqual(few!.inputs, ['/data/x']);
  });

  it('merges files over those that they extend, later ones over earlier ones', async () => {
    await write('shared/a.yaml', `${minimal}set: {loss.alpha: 0.9, epochs: 5}\nevaluations: {knn: {train: x, k: 5}}`);
    await write('shared/b.yaml', 'set: {loss: {alpha: 0.8}}\nvariants: {one: {}, two: {}}');
    const { name, variants, evaluations } = await load(
      'name: b\nextends: [./shared/a.yaml, ./shared/b.yaml]\nset: {batchSize: 8}\nvariants: {two: null, three: {epochs: 6}}\nevaluations: {knn: {k: null}}',
    );
    assert.deepEqual([name, variants.map((variant) => variant.name)], ['b', ['one', 'three']]);
    const [one, three] = variants.map((variant) => variant.configOf(1));
    assert.deepEqual([one!.loss.alpha, one!.epochs, one!.batchSize, three!.epochs], [0.8, 5, 8, 6]);
    assert.deepEqual(evaluations[0]!.flags, { seed: 0, train: 'x' });
  });

  it('overrides and removes flags in either spelling, and takes negated ones in both', async () => {
    await write('shared/c.yaml', `${minimal}evaluations: {knn: {train: x, train-images: 4, test-images: 5}}`);
    const { evaluations } = await load(
      'extends: ./shared/c.yaml\nevaluations: {knn: {trainImages: 6, testImages: null}, a: {kind: segmentation, data: x, noFlip: true}, b: {kind: segmentation, data: x, no-flip: true}}',
    );
    const place = { cell: 'C', out: 'O', seed: 5 };
    assert.deepEqual(
      evaluations.map((each) => each.argumentsIn(place)),
      [
        ['--seed=0', '--train=x', '--train-images=6'],
        ['--seed=0', '--data=x', '--no-flip'],
        ['--seed=0', '--data=x', '--no-flip'],
      ],
    );
  });

  it('of the bundled experiments gives no warning of keys without effect or of mistaken views and metrics', async () => {
    const files = (await readdir('experiments')).filter((name) => name.endsWith('.yaml'));
    assert.ok(files.length > 20);
    const variables = { DATA: '/data', COMPOSITES: '/composites', PHOTOS: '/photos' };
    for (const file of files) {
      const path = join('experiments', file);
      const { variants, seeds } = await loadExperiment(path, { recipePath, evaluationCommand, variables });
      for (const { name, configOf } of variants) {
        const config = configOf(seeds[0]!);
        assert.deepEqual([...intentWarnings(config), ...unusedKeyWarnings(config)], [], `${file} ${name}`);
      }
    }
  });

  it('selects cells by seed first, in shards that are disjoint and complete', async () => {
    const experiment = await load(`${minimal}matrix: {loss.alpha: [1, 0.5, 0]}`);
    const names = (options?: Parameters<typeof selectCells>[1]) => selectCells(experiment, options).map(cellName);
    const all = names();
    assert.deepEqual(all.slice(0, 4), ['alpha-1/seed-1', 'alpha-0.5/seed-1', 'alpha-0/seed-1', 'alpha-1/seed-2']);
    const shards = [0, 1, 2, 3].map((index) => names({ shard: { index, count: 4 } }));
    assert.deepEqual(shards.flat().sort(), [...all].sort());
    assert.deepEqual(names({ only: ['alpha-0'] }), ['alpha-0/seed-1', 'alpha-0/seed-2']);
    assert.throws(() => names({ only: ['alpha-10'] }), /--only: .* has no variant "alpha-10"; did you mean alpha-1\?/);
  });
});
