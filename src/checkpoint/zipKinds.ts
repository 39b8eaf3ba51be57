/** What a zip archive that is no file of torch.save seems to be, from the names of its entries; with the way out. */
export function strangerOfZip(names: readonly string[]): string | undefined {
  const has = (pattern: RegExp) => names.some((name) => pattern.test(name));
  // torch.jit.save: constants.pkl and code/ since 1.4, model.json and tensors/ before; bytecode.pkl of mobile builds.
  if (
    has(/^[^/]+\/(constants|bytecode)\.pkl$/) ||
    has(/^[^/]+\/code\/.*\.py$/) ||
    (has(/^[^/]+\/model\.json$/) && has(/^[^/]+\/tensors\//))
  ) {
    return 'a TorchScript archive; load it with torch.jit.load and save its state_dict() with torch.save';
  }
  if (has(/^[^/]*\/data\.pkl$/)) return undefined; // torch.save's own
  if (has(/^([^/]+\/)?models\/[^/]+\.json$|(^|\/)serialized_exported_program\.json$/)) {
    return 'a program of torch.export; save the state_dict() of its module with torch.save';
  }
  if (has(/(^|\/)\.data\/extern_modules$/)) return 'a package of torch.package; save the state_dict() of its module';
  if (has(/\.weights\.h5$/)) return 'a model of Keras; weights of PyTorch are read';
  const inside = names.find((name) => /\.(pth|pt|ckpt|bin|safetensors|tar)$/.test(name));
  if (inside !== undefined) return `an archive around ${JSON.stringify(inside)}; unpack it first`;
  if (names.length > 0 && names.every((name) => name.endsWith('.npy'))) return 'an archive of NumPy (.npz)';
  return undefined;
}
