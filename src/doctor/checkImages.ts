import { error, type Finding, messageOf, ok } from './finding.js';

const CHECK = 'sharp';

/** The part of sharp that is looked at. */
export interface LoadedSharp {
  readonly version: string;
  readonly libvips: string;
  /** Encodes a small picture in a format and decodes it again. @throws the error of libvips */
  tryFormat(format: string): Promise<void>;
}

/** Loads sharp as the decoders do. */
export async function loadSharp(): Promise<LoadedSharp> {
  const { default: sharp } = await import('sharp');
  return {
    version: sharp.versions.sharp ?? 'of an unknown version',
    libvips: sharp.versions.vips,
    async tryFormat(format) {
      const picture = sharp({ create: { width: 16, height: 16, channels: 3, background: '#456789' } });
      const encoded = await picture.toFormat(format as 'jpeg').toBuffer();
      await sharp(encoded).raw().toBuffer();
    },
  };
}

/** Whether images of every supported format can be decoded. */
export async function checkImages(load: () => Promise<LoadedSharp>, formats: readonly string[]): Promise<Finding> {
  try {
    const { version, libvips, tryFormat } = await load();
    const tried = await Promise.all(
      formats.map((format) =>
        tryFormat(format).then(
          () => undefined,
          () => format,
        ),
      ),
    );
    const failed = tried.filter((format) => format !== undefined);
    const found = `sharp ${version} with libvips ${libvips}`;
    if (failed.length === 0) return ok(CHECK, `${found}: ${formats.join(', ')}`);
    return error(
      CHECK,
      `${found} cannot read ${failed.join(', ')}`,
      'A libvips of the system is in use instead of the one that npm installs, and lacks these formats. Remove it from the ' +
        'machine or set SHARP_IGNORE_GLOBAL_LIBVIPS=1, and run npm ci again. Until then, images in these formats are rejected.',
    );
  } catch (thrown) {
    return error(
      CHECK,
      `sharp cannot be loaded: ${messageOf(thrown)}`,
      'sharp decodes images; its binary for this platform is missing. Run npm ci on the machine itself, without --omit=optional: ' +
        'the binaries are optional packages (@img/sharp-...).',
    );
  }
}
