/**
 * What a caller has sent, as an error or a log line repeats it: in quotes, and cut. A message may be as large as `maxMessageBytes`, and
 * a text in it too; an error with such a text would be sent, logged and searched at that length.
 * @param characters maximum length
 */
export const quoted = (text: string, characters = 100): string => JSON.stringify(text.slice(0, characters));
