import { createRequire } from 'node:module';
import sharp from 'sharp';
import { withSvg } from './loaders.js';

/** Scalable so that text is the same on every machine; one without any font would draw boxes for letters. */
const FONT = 'dejavu-fonts-ttf/ttf/DejaVuSans.ttf';

let registered: Promise<unknown> | undefined;

/** Makes the font known to libvips' text renderer, which its SVG reader shares; once a process. */
function registerFont(): Promise<unknown> {
  registered ??= sharp({
    text: { text: 'a', font: 'DejaVu Sans', fontfile: createRequire(import.meta.url).resolve(FONT) },
  })
    .png()
    .toBuffer();
  return registered;
}

/** Draws a picture of this program's own making as PNG. @param scale pixels of the PNG per unit of the SVG. */
export async function svgToPng(svg: string, scale = 1): Promise<Buffer> {
  await registerFont();
  return withSvg(() =>
    sharp(Buffer.from(svg), { density: 72 * scale })
      .png()
      .toBuffer(),
  );
}
