import { fileURLToPath } from 'node:url';
import sharp from 'sharp';
import { withSvg } from './loaders.js';

let registered: Promise<unknown> | undefined;

/**
 * Makes a font known to libvips' text renderer, which its SVG reader shares; once a process. A machine without fonts
 * would draw boxes for letters.
 */
function registerFont(): Promise<unknown> {
  const fontfile = fileURLToPath(import.meta.resolve('dejavu-fonts-ttf/ttf/DejaVuSans.ttf'));
  registered ??= sharp({ text: { text: 'a', font: 'DejaVu Sans', fontfile } })
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
