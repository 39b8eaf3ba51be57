import { Buffer } from 'node:buffer';

/** Supported formats. Vector and document formats (SVG, PDF) are not: they run an interpreter on untrusted input. */
export const readableFormats = ['jpeg', 'png', 'webp', 'gif', 'tiff', 'avif'] as const;

export type ImageFormat = (typeof readableFormats)[number];

/** Number of bytes of a file that are inspected. */
const HEAD_BYTES = 512;
/** Shorter base64 could also be a word. */
const MIN_BASE64 = 24;

/** The first bytes of a file. */
interface Head {
  readonly bytes: Uint8Array;
  /** The same, one character per byte. */
  readonly text: string;
  /** Brands of an ISO base media file (its `ftyp` box, ISO/IEC 14496-12); empty for other files. */
  readonly brands: readonly string[];
}

interface KnownContent {
  /** Name for errors, as it follows "is": with its article. */
  readonly name: string | ((head: Head) => string);
  readonly matches: (head: Head) => boolean;
  /** Present if it is supported. */
  readonly format?: ImageFormat;
  /** What the sender can do, if it is not supported. */
  readonly advice?: string;
}

/** Files that start with these bytes. */
const signed =
  (signature: readonly number[], offset = 0) =>
  ({ bytes }: Head): boolean =>
    signature.every((byte, i) => bytes[offset + i] === byte);

/** Files that start with one of these texts. */
const titled =
  (...starts: readonly string[]) =>
  ({ text }: Head): boolean =>
    starts.some((start) => text.startsWith(start));

const branded =
  (...names: readonly string[]) =>
  ({ brands }: Head): boolean =>
    names.some((name) => brands.includes(name));

const riff =
  (kind: string) =>
  ({ text }: Head): boolean =>
    text.startsWith('RIFF') && text.startsWith(kind, 8);

const matching =
  (pattern: RegExp) =>
  ({ text }: Head): boolean =>
    pattern.test(text);

/** Two letters are not enough: four reserved bytes must be 0, and the length of the second header must be a valid one. */
function isBmp({ bytes, text }: Head): boolean {
  const lengths = [12, 40, 52, 56, 64, 108, 124];
  return text.startsWith('BM') && text.startsWith('\0\0\0\0', 6) && lengths.includes(bytes[14] ?? 0);
}

/** The base64 text of an image, as in a JSON document or a data URL. */
function base64Kind({ text }: Head): KnownContent | undefined {
  const body = text.replace(/^data:[^,]{0,80};base64,/, '').replace(/\s/g, '');
  if (body.length < MIN_BASE64 || !/^[A-Za-z0-9+/_-]+={0,2}$/.test(body)) return undefined;
  return contentOf(headOf(Buffer.from(body, 'base64')));
}

const DECODE = 'decode the text and send the bytes of the file';
const CONVERT = 'convert it to JPEG, PNG or TIFF';
const PHONE =
  'convert it to JPEG (an iPhone takes JPEG with Settings > Camera > Formats > Most Compatible; heif-convert and sips convert files)';
const DEVELOP = 'develop it with a RAW converter and send the JPEG or TIFF';
const FRAME = 'send single frames as JPEG or PNG';

/**
 * Kinds of files by their first bytes; the first match is used. Supported formats come first. TIFF-based camera files are
 * distinguished from TIFF by their tags (`tiff.ts`).
 */
const known: readonly KnownContent[] = [
  { name: 'a JPEG file', format: 'jpeg', matches: signed([0xff, 0xd8, 0xff]) },
  { name: 'a PNG file', format: 'png', matches: signed([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]) },
  { name: 'a GIF file', format: 'gif', matches: titled('GIF87a', 'GIF89a') },
  { name: 'a WebP file', format: 'webp', matches: riff('WEBP') },
  // The second of each is BigTIFF.
  { name: 'a TIFF file', format: 'tiff', matches: titled('II*\0', 'II+\0', 'MM\0*', 'MM\0+') },
  { name: 'an AVIF file', format: 'avif', matches: branded('avif', 'avis') },

  {
    name: 'a HEIC file',
    advice: PHONE,
    matches: branded('heic', 'heix', 'heim', 'heis', 'hevc', 'hevx', 'hevm', 'hevs'),
  },
  { name: 'a camera RAW file (CR3)', advice: DEVELOP, matches: branded('crx ') },
  { name: 'a HEIF file', advice: PHONE, matches: branded('mif1', 'msf1', 'mif2', 'miaf') },
  { name: 'a video (MP4 or QuickTime)', advice: FRAME, matches: ({ brands }) => brands.length > 0 },
  { name: 'a video (QuickTime)', advice: FRAME, matches: matching(/^.{4}(moov|mdat|wide|free|skip)/s) },
  { name: 'a video (WebM or Matroska)', advice: FRAME, matches: signed([0x1a, 0x45, 0xdf, 0xa3]) },
  { name: 'a video (AVI)', advice: FRAME, matches: riff('AVI ') },
  { name: 'a JPEG XL file', advice: CONVERT, matches: titled('\xff\x0a', '\0\0\0\x0cJXL \r\n\x87\n') },
  { name: 'a JPEG 2000 file', advice: CONVERT, matches: titled('\0\0\0\x0cjP  ', '\xff\x4f\xff\x51') },
  { name: 'a JPEG XR file', advice: CONVERT, matches: titled('II\xbc') },
  { name: 'a BMP file', advice: CONVERT, matches: isBmp },
  { name: 'an icon (ICO)', advice: CONVERT, matches: signed([0, 0, 1, 0]) },
  { name: 'a Photoshop file (PSD)', advice: CONVERT, matches: titled('8BPS') },
  { name: 'a PDF document', advice: 'render its pages and send them as JPEG or PNG', matches: titled('%PDF-') },
  { name: 'a PostScript document', advice: 'render its pages and send them as JPEG or PNG', matches: titled('%!PS') },
  { name: 'a camera RAW file (RAF)', advice: DEVELOP, matches: titled('FUJIFILMCCD-RAW') },
  { name: 'a camera RAW file (ORF)', advice: DEVELOP, matches: titled('IIRO', 'IIRS', 'MMOR') },
  { name: 'a camera RAW file (RW2)', advice: DEVELOP, matches: titled('IIU\0') },
  { name: 'an OpenEXR file', advice: CONVERT, matches: titled('\x76\x2f\x31\x01') },
  { name: 'a Radiance HDR file', advice: CONVERT, matches: titled('#?RADIANCE', '#?RGBE') },
  { name: 'a QOI file', advice: CONVERT, matches: titled('qoif') },
  { name: 'a Netpbm file (PNM)', advice: CONVERT, matches: matching(/^P[1-7]\s/) },
  { name: 'a DICOM file', advice: CONVERT, matches: ({ text }) => text.startsWith('DICM', 128) },
  { name: 'a NumPy array', advice: 'send its pixels as raw', matches: titled('\x93NUMPY') },
  { name: 'a ZIP archive', advice: 'send the images in it one by one', matches: titled('PK\x03\x04') },
  { name: 'gzip data', advice: 'decompress it first', matches: signed([0x1f, 0x8b]) },
  {
    name: 'a PNG file whose line endings were converted in transfer',
    advice: 'transfer it as binary, not as text',
    matches: titled('\x89PNG'),
  },
  // U+FFFD in UTF-8, with which a JPEG or PNG file starts after it was decoded as text.
  {
    name: 'a binary file that was decoded as UTF-8 text in transfer',
    advice: 'read and send bytes, not strings; the lost data cannot be restored',
    matches: titled('\xef\xbf\xbd'),
  },
  {
    name: 'an SVG drawing',
    advice: 'render it as PNG',
    matches: matching(/^\s*(<\?xml[\s\S]*?|<!--[\s\S]*?|<!doctype svg[\s\S]*?)?<svg[\s>]/i),
  },
  {
    name: 'an HTML page',
    advice: 'send the image itself; the URL may have returned an error page or a login page',
    matches: matching(/^(\xef\xbb\xbf)?\s*<(!doctype html|html|head|body)/i),
  },
  {
    name: 'an XML document',
    advice: 'send the bytes of an image file',
    matches: matching(/^(\xef\xbb\xbf)?\s*<\?xml/),
  },
  {
    name: 'JSON text',
    advice: 'send the bytes of an image file',
    matches: matching(/^\s*[{[]\s*(["{}[\]\d-]|true|false|null)/),
  },
  { name: 'a URL', advice: 'fetch it and send the bytes', matches: matching(/^(https?|file|s3|gs|blob):\/\//i) },
  {
    name: (head) => `base64 text of ${nameOf(base64Kind(head), head)}`,
    advice: DECODE,
    matches: (head) => base64Kind(head) !== undefined,
  },
  { name: 'a data URL', advice: DECODE, matches: titled('data:') },
  {
    name: 'text',
    advice: 'send the bytes of an image file',
    matches: ({ text }) => text.trim().length >= 4 && /^[\t\n\r\x20-\x7e]+$/.test(text),
  },
];

/** Brands of an `ftyp` box: the major one and, after its version, the compatible ones. */
function brandsOf(bytes: Uint8Array, text: string): string[] {
  if (bytes.length < 16 || text.slice(4, 8) !== 'ftyp') return [];
  const end = Math.min(new DataView(bytes.buffer, bytes.byteOffset).getUint32(0), bytes.length);
  const brands = [text.slice(8, 12)];
  for (let at = 16; at + 4 <= end; at += 4) brands.push(text.slice(at, at + 4));
  return brands;
}

function headOf(file: Uint8Array): Head {
  const bytes = file.subarray(0, HEAD_BYTES);
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
  return { bytes, text, brands: brandsOf(bytes, text) };
}

function contentOf(head: Head): KnownContent | undefined {
  return known.find(({ matches }) => matches(head));
}

function nameOf(content: KnownContent | undefined, head: Head): string {
  const name = content?.name ?? 'of unknown format';
  return typeof name === 'string' ? name : name(head);
}

/** The format of a file by its first bytes, or undefined if it is not one of `readableFormats`. */
export function sniffFormat(bytes: Uint8Array): ImageFormat | undefined {
  return contentOf(headOf(bytes))?.format;
}

/** Describes a file by its first bytes, as the end of a sentence: "is a HEIC file". */
export function describeContent(bytes: Uint8Array): string {
  const head = headOf(bytes);
  return bytes.byteLength === 0 ? 'is empty (0 bytes)' : `is ${nameOf(contentOf(head), head)}`;
}

/** Why an unsupported file is rejected, and what to do; without a subject: "is a HEIC file, ...". */
export function refusalOf(bytes: Uint8Array): string {
  const advice = contentOf(headOf(bytes))?.advice;
  const formats = readableFormats.join(', ');
  if (advice === undefined) return `${describeContent(bytes)}; send one of ${formats}, or raw RGB pixels`;
  return `${describeContent(bytes)}, which is not supported; ${advice} (supported: ${formats}, and raw RGB pixels)`;
}
