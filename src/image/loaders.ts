import sharp from 'sharp';

/** libvips' readers of `readableFormats`; each name covers its readers of memory and of files. */
const allowed = ['Jpeg', 'Png', 'Webp', 'Nsgif', 'Tiff', 'Heif'].map((name) => `VipsForeignLoad${name}`);

/** Renders SVG: only of pictures that this program writes itself. */
const svg = 'VipsForeignLoadSvg';

let restricted = false;

/**
 * Lets libvips read the supported formats alone, in the whole process. It chooses its reader by the content itself, so
 * that without this a file made for the purpose could reach a reader that nobody meant (SVG, PDF, OpenEXR, ...).
 *
 * To be called before the first decoding: readers are blocked for a moment before the allowed ones are let go, and a
 * decoding in another thread would fail in it.
 */
export function restrictLoaders(): void {
  if (restricted) return;
  restricted = true;
  sharp.block({ operation: ['VipsForeignLoad'] });
  sharp.unblock({ operation: allowed });
}

/** Lets libvips render SVG while `work` runs: for the program's own drawings, of which a process that serves has none. */
export async function withSvg<T>(work: () => Promise<T>): Promise<T> {
  if (!restricted) return work();
  sharp.unblock({ operation: [svg] });
  try {
    return await work();
  } finally {
    sharp.block({ operation: [svg] });
  }
}
