import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Graph } from '../onnx/graph.js';
import {
  architectureNames,
  architectureOf,
  type BackboneConfig,
  backbone,
  backboneConfigs,
  backboneFamilies,
  backboneNamed,
  backboneOfArchitecture,
  backboneStages,
  dropPathBlocks,
  familyOf,
  finalNorm,
  layerScaleOf,
  mapCells,
  stageSizes,
  withLayerScale,
  withOutputStride,
} from './backbone.js';
import type { ShapeOf } from './parameterNames.js';
import { inputParameters } from './parameters.js';

/** One small network of each family. */
const small: { readonly [F in BackboneConfig['family']]: BackboneConfig } = {
  convnext: { family: 'convnext', depths: [1, 2, 1], widths: [8, 16, 24], layerScale: 1e-6 },
  resnet: { family: 'resnet', block: 'bottleneck', layers: [1, 2, 1], width: 4 },
};

function emit(config: BackboneConfig) {
  const graph = new Graph();
  const parameters = inputParameters(graph, { training: false });
  const seen = { stages: [] as (readonly (number | string)[])[], branches: 0 };
  const map = backbone(graph.input('pixels', 'float32', [2, 96, 64, 3]), config, parameters, {
    onStage: (stage, value) => {
      seen.stages[stage - 1] = value().shape;
    },
    dropPath: (branch) => {
      seen.branches += 1;
      return branch;
    },
  });
  const shapes = new Map([...parameters.specs, ...parameters.buffers].map(({ name, shape }) => [name, shape]));
  return { map, shapes, seen, graph, parameters };
}

describe('the families of backbones', () => {
  it('have every architecture name exactly once', () => {
    for (const name of architectureNames) {
      const owners = backboneFamilies.filter(
        ({ configs, ofSizes }) => Object.hasOwn(configs, name) || Object.hasOwn(ofSizes, name),
      );
      assert.equal(owners.length, 1, name);
    }
    assert.equal(new Set(architectureNames).size, architectureNames.length);
    for (const name of Object.keys(backboneConfigs)) assert.ok(architectureNames.includes(name), name);
  });

  it('have one tag each, which all their configurations have', () => {
    assert.deepEqual(backboneFamilies.map(({ family }) => family).sort(), Object.keys(small).sort());
    for (const family of backboneFamilies) {
      const sizes = stageSizes(small[family.family]);
      const made = Object.values(family.ofSizes).map((make) => make(sizes));
      for (const config of [...Object.values(family.configs), ...made]) assert.equal(familyOf(config), family);
    }
  });

  it('have signatures that match no file of another family', () => {
    const signatures = backboneFamilies.flatMap(({ checkpoints }) => checkpoints.namings.map((one) => one.signature));
    assert.equal(new Set(signatures).size, signatures.length);
    for (const config of Object.values(small)) {
      const { shapes } = emit(config);
      const found = backboneFamilies.filter(({ checkpoints }) => {
        const own = checkpoints.namings.find(({ templates }) => templates === undefined);
        return own !== undefined && shapes.has(own.signature);
      });
      assert.deepEqual(found, [familyOf(config)]);
    }
  });

  for (const [name, config] of Object.entries(small)) {
    it(`describe the network that they emit for a ${name}`, () => {
      const { map, seen } = emit(config);
      const stages = backboneStages(config);
      assert.deepEqual(
        seen.stages,
        stages.map(({ stride, channels }) => [2, 96 / stride, 64 / stride, channels]),
      );
      assert.deepEqual(map.shape, seen.stages.at(-1));
      assert.equal(seen.branches, dropPathBlocks(config));
      for (const size of [64, 65, 95]) {
        const graph = new Graph();
        const pixels = graph.input('pixels', 'float32', [1, size, size, 3]);
        const { shape } = backbone(pixels, config, inputParameters(graph, { training: false }));
        assert.deepEqual(shape.slice(1, 3), [mapCells(config, size), mapCells(config, size)], `${size} px`);
      }
    });

    it(`infer a ${name} from the names and shapes of its parameters, under a name that resolves to it`, () => {
      const { shapes } = emit(config);
      const shapeOf: ShapeOf = (parameter) => shapes.get(parameter);
      const inferred = familyOf(config).checkpoints.infer(shapeOf);
      assert.deepEqual(inferred, config);
      const architecture = architectureOf(config);
      assert.ok(Object.hasOwn(familyOf(config).ofSizes, architecture));
      const made = backboneOfArchitecture(architecture, stageSizes(config));
      const scale = layerScaleOf(config);
      assert.deepEqual(scale === undefined ? made : withLayerScale(made, scale), config);
    });
  }

  it('name every configuration by its sizes', () => {
    for (const [name, config] of Object.entries(backboneConfigs)) {
      assert.equal(architectureOf(config), name);
      assert.equal(backboneOfArchitecture(name, stageSizes(config)), config);
    }
  });

  it('reject an unknown architecture and an unknown tag, and list the known ones', () => {
    for (const unknown of ['vit_small', 'ConvNeXt', 'resnet', 'constructor', '']) {
      assert.throws(() => backboneOfArchitecture(unknown, { depths: [1], widths: [8] }), {
        name: 'RangeError',
        message: new RegExp(`^architecture "${unknown}" is unknown; known are convnext_atto, .*resnet50, .*custom, `),
      });
    }
    for (const unknown of ['vit_small', 'custom', 'constructor']) {
      assert.throws(() => backboneNamed(unknown), {
        name: 'RangeError',
        message: `architecture "${unknown}" is unknown; known are ${Object.keys(backboneConfigs).join(', ')}`,
      });
    }
    assert.throws(() => familyOf({ family: 'vit' as 'resnet' }), {
      name: 'RangeError',
      message: `there is no backbone family "vit"; known are ${Object.keys(small).join(', ')}`,
    });
  });

  it('reject sizes that an architecture cannot have', () => {
    for (const [architecture, depths, widths, message] of [
      ['custom', [], [], /"custom" needs depths and widths of one or more stages; there are 0 depths and 0 widths/],
      ['convnext', [1, 1], [8], /there are 2 depths and 1 widths/],
      ['resnet_basic', [1, 1], [8, 24], /of basic blocks cannot have the widths 8, 24: each is twice/],
      ['resnet_bottleneck', [1], [6], /the first a multiple of 4/],
    ] as const) {
      assert.throws(() => backboneOfArchitecture(architecture, { depths, widths }), { name: 'RangeError', message });
    }
  });

  it('reject options that a family does not have, with its name', () => {
    const { map, parameters } = emit(small.resnet);
    assert.throws(() => withLayerScale(small.resnet, 1), /a ResNet has no layer scale/);
    assert.throws(() => finalNorm(map, small.resnet, parameters, ''), /a ResNet has no normalisation after/);
    assert.equal(layerScaleOf(small.resnet), undefined);
    assert.throws(() => withOutputStride(small.convnext, 32), /output stride 32: a ConvNeXt's is 16/);
  });
});

describe('a ResNet of fewer stages', () => {
  it('has the stride that results from its stages, and cannot have a larger one', () => {
    assert.deepEqual(
      backboneStages(small.resnet).map(({ stride }) => stride),
      [4, 8, 16],
    );
    assert.equal(withOutputStride(small.resnet, 16), small.resnet);
    assert.equal(backboneStages(withOutputStride(small.resnet, 8)).at(-1)!.stride, 8);
    assert.throws(() => withOutputStride(small.resnet, 32), {
      name: 'RangeError',
      message: "output stride 32: a ResNet's of 3 stages may be 16 or 8",
    });
    const one: BackboneConfig = { family: 'resnet', block: 'basic', layers: [1], width: 4 };
    assert.throws(() => withOutputStride(one, 8), { message: "output stride 8: a ResNet's of 1 stages may be 4" });
  });
});

describe('a ConvNeXt without its stem', () => {
  it('is inferred from its blocks', () => {
    const { shapes } = emit(small.convnext);
    const without = new Map([...shapes].filter(([name]) => !name.startsWith('downsample_layers.0')));
    assert.equal(shapes.size - without.size, 4);
    assert.deepEqual(
      familyOf(small.convnext).checkpoints.infer((name) => without.get(name)),
      small.convnext,
    );
  });
});
