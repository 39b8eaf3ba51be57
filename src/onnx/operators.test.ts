import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { DType } from '../tensor/tensor.js';
import { emitOne, Graph } from './graph.js';
import { type Operator, type OperatorFacts, operators, typeProblem } from './operators.js';
import { erf, gelu } from './ops/elementwise.js';
import { matmul } from './ops/linear.js';
import type { Gradient } from './rules/rule.js';
import { gradientRules } from './rules/table.js';
import { GraphError } from './shapes.js';

describe('the table of operators', () => {
  it('is complete at compile time: an operator without facts or without its gradient does not compile', () => {
    const graph = new Graph();
    const x = graph.input('x', 'float32', [2]);
    // @ts-expect-error Sinh is not in the table
    assert.throws(() => emitOne('Sinh', [x], x), TypeError);
    const { Add: facts, ...others } = operators;
    // @ts-expect-error Add is missing
    const withoutFacts: Record<Operator, OperatorFacts> = others;
    const { Add: rule, ...rules } = gradientRules;
    // @ts-expect-error Add is missing
    const withoutRule: Record<Operator, Gradient> = rules;
    const { half: _, ...incomplete } = facts;
    // @ts-expect-error half is missing
    const withoutHalf: OperatorFacts = incomplete;
    assert.ok(rule && withoutFacts && withoutRule && withoutHalf);
  });

  it('has a gradient for every operator, and no other gradients', () => {
    assert.deepEqual(Object.keys(gradientRules).sort(), Object.keys(operators).sort());
  });

  it('rejects element types that an operator does not support, with its name', () => {
    const graph = new Graph();
    const integers = graph.input('i', 'int64', [2, 2]);
    assert.throws(() => erf(integers), {
      name: 'GraphError',
      message: 'Erf: input 0 is int64; it may be float16, float32, float64',
    });
    assert.throws(() => matmul(graph.input('b', 'uint8', [2, 2]), graph.input('c', 'uint8', [2, 2])), GraphError);
    const problem = (operator: Operator, inputs: (DType | undefined)[], outputs: DType[]) =>
      typeProblem(operator, inputs, outputs);
    assert.equal(
      problem('Gather', ['float32', 'int64'], ['float64']),
      'Gather: output 0 is float64, where float32 is needed',
    );
    assert.equal(problem('Gather', ['float32', 'float32'], ['float32']), 'Gather: input 1 is float32; it may be int64');
    assert.equal(problem('Relu', ['float32', 'float32'], ['float32']), 'Relu: it has no input 1');
    assert.equal(problem('Pad', ['float32', 'int64', undefined], ['float32']), undefined);
    assert.equal(problem('Concat', ['int8', 'int8', 'int8'], ['int8']), undefined);
    assert.equal(
      problem('Concat', ['int8', 'int8', 'uint8'], ['int8']),
      'Concat: input 2 is uint8, where int8 is needed',
    );
    assert.equal(problem('QuantizeLinear', ['float32', 'float32', 'uint8'], ['uint8']), undefined);
    assert.equal(
      problem('QuantizeLinear', ['float32', 'float32', 'uint8'], ['int8']),
      'QuantizeLinear: output 0 is int8, where uint8 is needed',
    );
  });

  it('rejects an operator that is newer than the operator set of the graph', () => {
    const old = new Graph(17);
    const x = old.input('x', 'float32', [2]);
    assert.throws(() => emitOne('Gelu', [x], x), {
      name: 'GraphError',
      message: 'Gelu: operator set 17 does not have it yet',
    });
    assert.equal(gelu(x).node!.operator, 'Mul'); // composed of older operators
  });
});
