/** Which vectors of a set are the same. */
export interface EqualVectors {
  /** [count] the lowest index of a vector equal to this one. */
  readonly lowest: Int32Array;
  /** [count] 1 where another vector is equal to this one. */
  readonly repeated: Uint8Array;
}

/** Finds equal vectors: only those of equal norms are compared, so that it costs next to nothing where there are none. */
export function equalVectors(data: Float32Array, channels: number, norms: Float64Array): EqualVectors {
  const lowest = Int32Array.from(norms.keys());
  const repeated = new Uint8Array(norms.length);
  const same = (i: number, j: number): boolean => {
    for (let k = 0; k < channels; k++) if (data[i * channels + k] !== data[j * channels + k]) return false;
    return true;
  };
  /** First vectors by norm; a list only where different vectors share one. */
  const firsts = new Map<number, number[]>();
  for (const [i, norm] of norms.entries()) {
    const others = firsts.get(norm);
    const equal = others?.find((other) => same(i, other));
    if (equal !== undefined) {
      lowest[i] = equal;
      repeated[i] = 1;
      repeated[equal] = 1;
    } else if (others === undefined) firsts.set(norm, [i]);
    else others.push(i);
  }
  return { lowest, repeated };
}
