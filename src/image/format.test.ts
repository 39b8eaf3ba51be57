import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import sharp from 'sharp';
import { decodeImage } from './decode.js';
import { describeContent, readableFormats, refusalOf, sniffFormat } from './format.js';

const latin = (text: string) => Buffer.from(text, 'latin1');

/** An ISO base media file's first box. */
function ftyp(major: string, ...compatible: string[]): Buffer {
  const box = latin(`\0\0\0\0ftyp${major}\0\0\0\0${compatible.join('')}`);
  box.writeUInt32BE(box.length, 0);
  return Buffer.concat([box, Buffer.alloc(40)]);
}

const picture = sharp({ create: { width: 9, height: 8, channels: 3, background: 'red' } });
const jpeg = await picture.clone().jpeg().toBuffer();
const png = await picture.clone().png().toBuffer();

describe('an unsupported file is rejected with the name of its format and the way out:', () => {
  const refused: Record<string, [Buffer, RegExp]> = {
    'HEIC of an iPhone': [
      ftyp('heic', 'mif1', 'MiHE', 'heic'),
      /^is a HEIC file, which is not supported; convert it to JPEG \(an iPhone/,
    ],
    'HEIC, 10 bits': [ftyp('heix', 'mif1', 'heix'), /a HEIC file/],
    'HEIC by a compatible brand': [ftyp('mif1', 'mif1', 'heic'), /a HEIC file/],
    'a sequence of HEVC': [ftyp('hevc', 'msf1', 'hevc'), /a HEIC file/],
    'HEIF of another codec': [ftyp('mif1', 'mif1', 'jpeg'), /a HEIF file/],
    'Canon CR3': [ftyp('crx ', 'crx ', 'isom'), /a camera RAW file \(CR3\).*develop it/],
    MP4: [ftyp('isom', 'isom', 'mp41'), /a video \(MP4 or QuickTime\).*single frames/],
    QuickTime: [ftyp('qt  ', 'qt  '), /a video/],
    'QuickTime without ftyp': [latin('\0\0\0\x08wide\0\0\0\0mdat'), /a video \(QuickTime\)/],
    WebM: [latin('\x1a\x45\xdf\xa3\x01'), /a video \(WebM/],
    AVI: [latin('RIFF\0\0\0\0AVI LIST'), /a video \(AVI\)/],
    'JPEG XL': [latin('\xff\x0a\xfa\x1f'), /a JPEG XL file.*convert it to JPEG, PNG or TIFF/],
    'JPEG XL in boxes': [latin('\0\0\0\x0cJXL \r\n\x87\n\0\0'), /a JPEG XL file/],
    'JPEG 2000': [latin('\0\0\0\x0cjP  \r\n\x87\n'), /a JPEG 2000 file/],
    'JPEG 2000 without boxes': [latin('\xff\x4f\xff\x51\0'), /a JPEG 2000 file/],
    BMP: [Buffer.concat([latin('BM\x9a\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0'), Buffer.alloc(40)]), /a BMP file/],
    ICO: [latin('\0\0\x01\0\x01\0\x20\x20'), /an icon/],
    PDF: [latin('%PDF-1.7\n'), /a PDF document.*render its pages/],
    PSD: [latin('8BPS\0\x01'), /a Photoshop file/],
    RAF: [latin('FUJIFILMCCD-RAW 0201'), /RAF/],
    OpenEXR: [latin('\x76\x2f\x31\x01\x02\0\0\0'), /an OpenEXR file/],
    SVG: [latin('<svg xmlns="http://www.w3.org/2000/svg"/>'), /an SVG drawing.*render it as PNG/],
    'SVG behind a declaration': [latin('<?xml version="1.0"?>\n<!-- a -->\n<svg>'), /an SVG drawing/],
    HTML: [latin('\n<!DOCTYPE html><html><title>404'), /an HTML page.*an error page or a login/],
    XML: [latin('<?xml version="1.0"?><Error><Code>AccessDenied'), /an XML document/],
    JSON: [latin('{"error": "not found"}'), /JSON text/],
    'a URL': [latin('https://example.com/cat.jpg'), /a URL.*fetch it/],
    'base64 of a JPEG': [latin(jpeg.toString('base64')), /base64 text of a JPEG file.*decode the text/],
    'base64 of a PNG in lines': [latin(png.toString('base64').replace(/.{60}/g, '$&\n')), /base64 text of a PNG file/],
    'a data URL': [latin(`data:image/png;base64,${png.toString('base64')}`), /base64 text of a PNG file/],
    'base64 of a HEIC': [latin(ftyp('heic', 'heic').toString('base64')), /base64 text of a HEIC file/],
    'a JPEG that was decoded as UTF-8': [
      Buffer.from(jpeg.toString('utf8')),
      /decoded as UTF-8 text.*bytes, not strings/,
    ],
    'a PNG whose line ends were changed': [latin(png.toString('latin1').replaceAll('\r\n', '\n')), /line endings/],
    'a word': [latin('hello world'), /is text, which/],
    ZIP: [latin('PK\x03\x04\x14\0'), /a ZIP archive/],
    gzip: [latin('\x1f\x8b\x08\0'), /gzip data/],
    NumPy: [latin('\x93NUMPY\x01\0'), /a NumPy array/],
    nothing: [Buffer.alloc(0), /^is empty \(0 bytes\); send one of/],
    'what nobody knows': [Buffer.from([1, 2, 3, 4, 5, 6, 7, 8, 9, 200]), /^is of unknown format; send one of/],
  };
  for (const [name, [bytes, message]] of Object.entries(refused)) {
    test(name, async () => {
      assert.equal(sniffFormat(bytes), undefined);
      assert.match(refusalOf(bytes), message);
      for (const format of readableFormats) assert.ok(refusalOf(bytes).includes(format), format);
      await assert.rejects(decodeImage(bytes), { code: 'unsupported_format', message: `image ${refusalOf(bytes)}` });
    });
  }
});

describe('a supported file is recognised by its first bytes:', () => {
  const read: Record<string, [Buffer, string]> = {
    jpeg: [jpeg, 'is a JPEG file'],
    png: [png, 'is a PNG file'],
    gif: [latin('GIF87a'), 'is a GIF file'],
    webp: [latin('RIFF\0\0\0\0WEBPVP8 '), 'is a WebP file'],
    tiff: [latin('II*\0'), 'is a TIFF file'],
    'tiff, the other byte order': [latin('MM\0*'), 'is a TIFF file'],
    'tiff, BigTIFF': [latin('II+\0\x08\0\0\0'), 'is a TIFF file'],
    avif: [ftyp('avif', 'mif1', 'avif'), 'is an AVIF file'],
    'avif by a compatible brand': [ftyp('mif1', 'miaf', 'avif'), 'is an AVIF file'],
  };
  for (const [name, [bytes, description]] of Object.entries(read)) {
    test(name, () => {
      assert.equal(sniffFormat(bytes), name.split(',')[0]!.split(' ')[0]);
      assert.equal(describeContent(bytes), description);
      const view = new Uint8Array([9, 9, 9, ...bytes]).subarray(3);
      assert.equal(describeContent(view), description, 'in the middle of a buffer');
    });
  }
});
