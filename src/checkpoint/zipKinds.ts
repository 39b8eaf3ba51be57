/** Describes a zip archive that is not a file of torch.save by the names of its entries, and how to convert it. */
export function describeOtherZip(names: readonly string[]): string | undefined {
  const has = (pattern: RegExp) => names.some((name) => pattern.test(name));
  // torch.jit.save writes constants.pkl and code/ since 1.4, before that model.json and tensors/; mobile builds have
  // bytecode.pkl.
  if (
    has(/^[^/]+\/(constants|bytecode)\.pkl$/) ||
    has(/^[^/]+\/code\/.*\.py$/) ||
    (has(/^[^/]+\/model\.json$/) && has(/^[^/]+\/tensors\//))
  ) {
    return 'a TorchScript archive; load it with torch.jit.load and save its state_dict() with torch.save';
  }
  if (has(/^[^/]*\/data\.pkl$/)) return undefined; // a file of torch.save
  if (has(/^([^/]+\/)?models\/[^/]+\.json$|(^|\/)serialized_exported_program\.json$/)) {
    return 'a program of torch.export; save the state_dict() of its module with torch.save';
  }
  if (has(/(^|\/)\.data\/extern_modules$/)) return 'a package of torch.package; save the state_dict() of its module';
  if (has(/\.weights\.h5$/)) return 'a Keras model; only PyTorch weights are supported';
  const inside = names.find((name) => /\.(pth|pt|ckpt|bin|safetensors|tar)$/.test(name));
  if (inside !== undefined) return `an archive that contains ${JSON.stringify(inside)}; unpack it first`;
  if (names.length > 0 && names.every((name) => name.endsWith('.npy')))
    return 'a NumPy archive (.npz); only PyTorch weights are supported';
  return undefined;
}
