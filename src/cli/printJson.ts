/** Prints a value to stdout, indented for reading; arrays of numbers stay on one line. */
export function printJson(value: object): void {
  const indented = JSON.stringify(value, null, 2);
  console.log(indented.replace(/\[[\s\d.,eE+-]*\]/g, (array) => array.replace(/\s+/g, ' ')));
}
