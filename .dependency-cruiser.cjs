/** Import directions of src/ (docs/architecture.md): every folder names the folders it may import. */
const layers = {
  tensor: [],
  proto: [],
  onnx: ['tensor'],
  nn: ['onnx', 'tensor'],
  vicregl: ['nn', 'onnx', 'tensor'],
  image: ['tensor'],
  data: ['image', 'tensor'],
  models: ['nn', 'onnx', 'image', 'tensor'],
  engine: ['models', 'onnx', 'image', 'tensor'],
  match: ['image', 'tensor'],
  client: ['proto', 'tensor'],
  evaluate: ['match', 'engine', 'models', 'data', 'vicregl', 'nn', 'image', 'onnx', 'tensor'],
  train: ['models', 'data', 'vicregl', 'nn', 'image', 'onnx', 'tensor'],
  serve: ['proto', 'match', 'engine', 'models', 'image', 'onnx', 'tensor'],
  cli: [
    'serve',
    'client',
    'train',
    'evaluate',
    'match',
    'engine',
    'models',
    'data',
    'vicregl',
    'nn',
    'image',
    'onnx',
    'tensor',
    'proto',
  ],
};

module.exports = {
  forbidden: [
    { name: 'no-circular', severity: 'error', from: {}, to: { circular: true } },
    ...Object.entries(layers).map(([layer, allowed]) => ({
      name: `layer-${layer}`,
      comment: `src/${layer} may import only: ${[layer, ...allowed].join(', ')}.`,
      severity: 'error',
      from: { path: `^src/${layer}/` },
      to: { path: '^src/', pathNot: [layer, ...allowed].map((name) => `^src/${name}/`) },
    })),
    {
      name: 'no-dev-dependency',
      severity: 'error',
      from: { path: '^src/', pathNot: '\\.test\\.ts$' },
      to: { dependencyTypes: ['npm-dev', 'npm-no-pkg', 'npm-unknown'], dependencyTypesNot: ['type-only'] },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'node', 'types'] },
  },
};
