import sharp from 'sharp';

/** The loaders of libvips for `readableFormats`; each name covers the loaders from memory and from files. */
const allowed = ['Jpeg', 'Png', 'Webp', 'Nsgif', 'Tiff', 'Heif'].map((name) => `VipsForeignLoad${name}`);

/** Renders SVG; used only for pictures that this program creates itself. */
const svg = 'VipsForeignLoadSvg';

let restricted = false;

/**
 * Restricts libvips to the loaders of the supported formats, in the whole process. libvips selects a loader by the content, so
 * otherwise a crafted file could reach an unintended loader (SVG, PDF, OpenEXR, ...).
 *
 * Call it before the first decoding: all loaders are blocked for a moment before the supported ones are allowed, and a concurrent
 * decoding in another thread would fail.
 */
export function restrictLoaders(): void {
  if (restricted) return;
  restricted = true;
  sharp.block({ operation: ['VipsForeignLoad'] });
  sharp.unblock({ operation: allowed });
}

/** Allows libvips to render SVG while `work` runs: for the program's own drawings, which the service does not make. */
export async function withSvg<T>(work: () => Promise<T>): Promise<T> {
  if (!restricted) return work();
  sharp.unblock({ operation: [svg] });
  try {
    return await work();
  } finally {
    sharp.block({ operation: [svg] });
  }
}
