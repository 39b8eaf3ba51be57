/** A part of the answer to an earlier call. */
export class Reference {
  /** Index of the call. */
  readonly call: number;
  /** Keys from the answer to the part. */
  readonly path: readonly (string | number)[];
  constructor(call: number, ...path: readonly (string | number)[]) {
    this.call = call;
    this.path = path;
  }
}
