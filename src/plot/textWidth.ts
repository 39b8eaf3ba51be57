/** Widths of characters of the plots' font (DejaVu Sans) in multiples of the font size, to some per cent. */
const NARROW = new Set('iljIftr.,:;\'`|!()[]{}/\\-" ');
const WIDE = new Set('mwMW%@');
const NARROW_WIDTH = 0.38;
const WIDE_WIDTH = 0.92;
const USUAL_WIDTH = 0.64;
/** From here on most scripts are written in squares (Chinese, Japanese, Korean, pictograms). */
const SQUARES_FROM = 0x2e80;
const BOLD = 1.12;

/**
 * About the width of a line of text in pixels, for the layout of plots. Vega has no text renderer in Node; its own estimate,
 * 0.8 of the font size for any character, leaves wide empty margins.
 */
export function textWidth(text: string, fontSize: number, isBold: boolean): number {
  let width = 0;
  for (const character of text) {
    if (NARROW.has(character)) width += NARROW_WIDTH;
    else if (WIDE.has(character)) width += WIDE_WIDTH;
    else width += character.codePointAt(0)! >= SQUARES_FROM ? 1 : USUAL_WIDTH;
  }
  return width * fontSize * (isBold ? BOLD : 1);
}
