/** A flag's name in camel case, in which both spellings of an experiment's file (`train-images` and `trainImages`) are the same. */
export const camelCase = (flag: string): string =>
  flag.replaceAll(/-(.)/g, (_, letter: string) => letter.toUpperCase());
