/** A word of a command that is suggested, quoted where a POSIX shell would read it as something else. */
export function shellWord(word: string): string {
  return /^[\w%+,./:=@-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
