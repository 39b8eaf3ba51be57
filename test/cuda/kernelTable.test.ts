import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  coversVersion,
  type KernelQuery,
  kernelProblem,
  parseOperatorKernels,
  parseOperatorVersions,
  readKernels,
  readVersions,
  sinceVersion,
  writeKernels,
  writeVersions,
} from '../../scripts/cuda/kernelTable.js';

const markdown = `## Operators implemented by CPUExecutionProvider

| Op Name | Parameters | OpSet Version | Types Supported |
|---------|------------|---------------|-----------------|
|**Operator Domain:** *ai.onnx*||||
|Pad|*in* data:**T**<br> *out* output:**T**|25+|**T** = tensor(int64)|
| |
| |

<a name="cudaexecutionprovider"/>

## Operators implemented by CUDAExecutionProvider

| Op Name | Parameters | OpSet Version | Types Supported |
|---------|------------|---------------|-----------------|
|**Operator Domain:** *ai.onnx*||||
|Concat|*in* inputs:**T**<br> *out* concat_result:**T**|13+|**T** = tensor(float), tensor(int64)|
|Gather|*in* data:**T**<br> *in* indices:**Tind**<br> *out* output:**T**|13+|**T** = tensor(float)<br/> **Tind** = tensor(int32), tensor(int64)|
|LayerNormalization|*in* X:**T**<br> *in* Scale:**T**<br> *out* Y:**T**<br> *out* Mean:**U**<br><br>or<br><br>*in* X:**T**<br> *in* Scale:**V**<br> *out* Y:**V**<br> *out* Mean:**U**|17+|**T** = tensor(float), tensor(float16)<br/> **U** = tensor(float)|
|||[1, 16]|**T** = tensor(float)<br/> **U** = tensor(double)<br/> **V** = tensor(float16)|
|Pad|*in* data:**T**<br> *in* pads:**tensor(int64)**<br> *out* output:**T**|18+|**T** = tensor(float)|
|||[13, 17]|**T** = tensor(bool), tensor(float)|
|||12|**T** = tensor(float)|
| |
| |
|**Operator Domain:** *com.microsoft*||||
|Pad|*in* data:**T**<br> *out* output:**T**|1+|**T** = tensor(int64)|

<a name="dmlexecutionprovider"/>
`;
const operators = `|**Operator**|**Since version**||
|<a href="#Concat">Concat</a>|<a href="Changelog.md#Concat-13">13</a>, <a href="Changelog.md#Concat-4">4</a>|
|<a href="#Gather">Gather</a>|<a href="Changelog.md#Gather-13">13</a>|
|<a href="#LayerNormalization">LayerNormalization</a>|<a href="Changelog.md#LayerNormalization-17">17</a>|17|
|<a href="#Pad">Pad</a>|<a href="Changelog.md#Pad-19">19</a>, <a href="Changelog.md#Pad-18">18</a>, <a href="Changelog.md#Pad-13">13</a>, <a href="Changelog.md#Pad-2">2</a>|
|<a href="#ScatterND">ScatterND</a>|<a href="Changelog.md#ScatterND-18">18</a>|
`;

const kernels = parseOperatorKernels(markdown, 'CUDAExecutionProvider');
const versions = parseOperatorVersions(operators);
const pad = (dtype: 'float32' | 'bool'): KernelQuery => ({
  operator: 'Pad',
  inputs: [dtype, 'int64'],
  outputs: [dtype],
  attributes: {},
});
const problem = (query: KernelQuery, opset: number) => kernelProblem(kernels, versions, query, opset);

describe('the table of kernels', () => {
  it('is read only from the section of the provider, with ranges and domains', () => {
    const ofPad = kernels.filter(({ operator }) => operator === 'Pad');
    assert.deepEqual(
      ofPad.map(({ domain, since, until }) => [domain, since, until]),
      [
        ['ai.onnx', 18, null],
        ['ai.onnx', 13, 17],
        ['ai.onnx', 12, 12],
        ['com.microsoft', 1, null],
      ],
    );
    assert.throws(() => parseOperatorKernels(markdown, 'RocmExecutionProvider'), /no section of Rocm/);
    assert.throws(() => parseOperatorKernels(markdown.replace('[13, 17]', '13 to 17'), 'CUDAExecutionProvider'), {
      message: '"13 to 17" is no range of versions',
    });
  });

  it('is unchanged after writing and reading', () => {
    assert.deepEqual(readKernels(writeKernels(kernels, ['from here'])), kernels);
    assert.deepEqual(readVersions(writeVersions(versions, ['from there'])), versions);
  });

  it('selects the operator version that an operator set uses', () => {
    assert.deepEqual(
      [2, 12, 13, 18, 20, 25].map((opset) => sinceVersion(versions, 'Pad', opset)),
      [2, 2, 13, 18, 19, 19],
    );
    assert.throws(() => sinceVersion(versions, 'Pad', 1), /operator set 1 has no Pad/);
    assert.throws(() => sinceVersion(versions, 'Fill', 20), /operator set 20 has no Fill/);
  });

  it('treats a closed range as all its versions and an open range as its first version only', () => {
    const covered = (since: number, until: number | null) =>
      [12, 13, 15, 17, 18, 19].filter((version) => coversVersion({ since, until }, version));
    assert.deepEqual(covered(13, 17), [13, 15, 17]);
    assert.deepEqual(covered(18, null), [18]);
    assert.deepEqual(covered(12, 12), [12]);
  });

  it('has a kernel for a call with its version and types, and reports missing ones', () => {
    assert.equal(problem(pad('float32'), 18), undefined);
    assert.equal(problem(pad('bool'), 17), undefined);
    assert.equal(problem(pad('float32'), 20), 'Pad 19: there are kernels for 18+, 13-17, 12-12 only');
    assert.equal(problem(pad('bool'), 18), 'Pad 18: no kernel for (bool, int64) -> (bool)');
  });

  it('selects the parameters that have the constraints of the version', () => {
    const call = (scale: 'float32' | 'float16', mean: 'float32' | 'float64'): KernelQuery => ({
      operator: 'LayerNormalization',
      inputs: ['float32', scale],
      outputs: ['float32', mean],
      attributes: {},
    });
    assert.equal(problem(call('float32', 'float32'), 17), undefined);
    assert.equal(
      problem(call('float32', 'float64'), 17),
      'LayerNormalization 17: no kernel for (float32, float32) -> (float32, float64)',
    );
  });

  it('repeats the last parameter of a variadic operator', () => {
    const concat = (last: 'float32' | 'uint8'): KernelQuery => ({
      operator: 'Concat',
      inputs: ['float32', 'float32', last],
      outputs: ['float32'],
      attributes: {},
    });
    assert.equal(problem(concat('float32'), 20), undefined);
    assert.match(problem(concat('uint8'), 20)!, /no kernel for \(float32, float32, uint8\)/);
  });

  it('reports attributes that kernels refuse', () => {
    const all = [...kernels, { ...kernels[0]!, operator: 'ScatterND', since: 18, until: null }];
    const scatter = (reduction: string): KernelQuery => ({
      operator: 'ScatterND',
      inputs: ['float32', 'float32', 'float32'],
      outputs: ['float32'],
      attributes: { reduction },
    });
    assert.equal(kernelProblem(all, versions, scatter('add'), 20), undefined);
    assert.equal(
      kernelProblem(all, versions, scatter('max'), 20),
      'ScatterND with reduction "max" is refused by the kernel',
    );
  });
});
