/** A resize policy as text gives it; the model supplies the sizes that it omits. */
export type WrittenResize =
  | { readonly kind: 'native' }
  | { readonly kind: 'fit'; readonly width: number; readonly height: number }
  | { readonly kind: 'shortestSide'; readonly resize: number; readonly crop?: number };

/** The forms of the text, for messages. */
export const RESIZE_FORMS = 'native, fit:WIDTHxHEIGHT, shortest:SIDE or shortest:SIDE,CROP';

/**
 * Reads `native`, `fit:640x480`, `shortest:256` or `shortest:256,224` (pixels); undefined for any other text. No side is 0, which in
 * a request means that of the model.
 */
export function readResizeText(text: string): WrittenResize | undefined {
  if (text === 'native') return { kind: 'native' };
  const fit = /^fit:0*([1-9]\d*)x0*([1-9]\d*)$/.exec(text);
  if (fit) return { kind: 'fit', width: Number(fit[1]), height: Number(fit[2]) };
  const shortest = /^shortest:0*([1-9]\d*)(?:,0*([1-9]\d*))?$/.exec(text);
  if (!shortest) return undefined;
  const [, resize, crop] = shortest;
  return { kind: 'shortestSide', resize: Number(resize), ...(crop !== undefined && { crop: Number(crop) }) };
}
