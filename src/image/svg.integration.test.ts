import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { promisify } from 'node:util';
import sharp from 'sharp';
import { svgToPng } from './svg.js';

const picture = (text: string) =>
  `<svg xmlns="http://www.w3.org/2000/svg" width="120" height="40"><rect width="120" height="40" fill="white"/><text x="5" y="28" font-family="sans-serif" font-size="20">${text}</text></svg>`;

/** Share of dark pixels. */
const INK = `
  import sharp from ${JSON.stringify(import.meta.resolve('sharp'))};
  import { svgToPng } from ${JSON.stringify(import.meta.resolve('./svg.js'))};
  const ink = async (text) => {
    const { channels } = await sharp(await svgToPng(text)).stats();
    return 255 - channels[0].mean;
  };
  console.log(JSON.stringify(await Promise.all(JSON.parse(process.argv[2]).map(ink))));
`;

describe('svgToPng', () => {
  it('draws at the requested scale', async () => {
    const { width, height } = await sharp(await svgToPng(picture('a'), 2)).metadata();
    assert.deepEqual([width, height], [240, 80]);
  });

  it('draws text on a machine without fonts', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'vicregl-fonts-'));
    try {
      await writeFile(join(folder, 'fonts.conf'), '<?xml version="1.0"?><fontconfig></fontconfig>');
      await writeFile(join(folder, 'ink.mjs'), INK);
      const env = { ...process.env, FONTCONFIG_FILE: join(folder, 'fonts.conf') };
      const texts = JSON.stringify(['', 'iiii', 'WWWW'].map(picture));
      const { stdout } = await promisify(execFile)(process.execPath, [join(folder, 'ink.mjs'), texts], { env });
      const [none, narrow, wide] = JSON.parse(stdout) as [number, number, number];
      assert.ok(none < 0.01 && narrow > 1, stdout);
      // boxes instead of letters would be equal
      assert.ok(wide > 2 * narrow, stdout);
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
