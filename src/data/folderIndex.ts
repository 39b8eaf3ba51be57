import type { Dirent, Stats } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { fileProblem } from '../files/fileProblem.js';
import { DataError } from './dataError.js';
import { byCodeUnits, isHidden, isImageName } from './imageNames.js';
import { packNames } from './nameTable.js';
import type { SourceIndex } from './sourceIndex.js';

/** Number of symbolic links that are resolved concurrently. */
const LINK_CONCURRENCY = 256;

/** Maximum number of links by which a folder may be reached. More than this means that links point to each other. */
const MAX_LINKS_TO_FOLDER = 1000;

/** Identity of a folder (device and inode), independent of the path by which it is reached. */
type Identity = string;

const identityOf = ({ dev, ino }: Stats): Identity => `${dev}:${ino}`;

/** A folder to visit. */
interface VisitedFolder {
  /** Path relative to the root, with a trailing / unless it is the root. */
  readonly name: string;
  /** The folders on the path to it, including itself as the last one. */
  readonly ancestors: readonly Identity[];
}

/** A symbolic link to a folder. */
interface LinkedFolder {
  readonly folder: VisitedFolder;
  readonly identity: Identity;
}

/**
 * Indexes all images below a folder. Links to files and folders are followed, except links to a folder that is part of the source
 * anyway: otherwise links to a parent folder would never end, and images would be counted twice. A broken link with an image's
 * name is indexed; reading it fails with a clear error.
 * @throws DataError `not_found` for a folder that cannot be read, `malformed` if links form endless cycles.
 */
export async function indexFolder(root: string): Promise<SourceIndex> {
  const names: string[] = [];
  const walked = new Set<Identity>();
  const links: LinkedFolder[] = [];

  const walk = async (start: VisitedFolder, follow: (link: LinkedFolder) => void): Promise<void> => {
    const open = [start];
    for (let folder = open.pop(); folder !== undefined; folder = open.pop()) {
      const { name, ancestors } = folder;
      walked.add(ancestors.at(-1)!);
      const entries = (await read(join(root, name))).filter((entry) => !isHidden(entry.name));
      const targets = await targetsOf(join(root, name), entries);
      for (const entry of entries) {
        const target = targets.get(entry.name);
        if (entry.isDirectory()) {
          const path = `${name}${entry.name}/`;
          const identity = identityOf(await status(join(root, path)));
          if (!ancestors.includes(identity)) open.push({ name: path, ancestors: [...ancestors, identity] });
        } else if (target?.isDirectory()) {
          const identity = identityOf(target);
          follow({ folder: { name: `${name}${entry.name}/`, ancestors: [...ancestors, identity] }, identity });
        } else if (
          isImageName(entry.name) &&
          (entry.isFile() || entry.isSymbolicLink()) &&
          (target?.isFile() ?? true)
        ) {
          names.push(`${name}${entry.name}`);
        }
      }
    }
  };

  await walk({ name: '', ancestors: [identityOf(await status(root))] }, (link) => links.push(link));
  // All folders below the root are known now: links to them add nothing.
  const own = new Set(walked);
  const linkCounts = new Map<Identity, number>();
  for (let link = links.shift(); link !== undefined; link = links.shift()) {
    const { folder, identity } = link;
    const isCycle = folder.ancestors.indexOf(identity) < folder.ancestors.length - 1;
    if (own.has(identity) || isCycle) continue;
    const count = (linkCounts.get(identity) ?? 0) + 1;
    if (count > MAX_LINKS_TO_FOLDER) {
      throw new DataError(
        'malformed',
        `${join(root, folder.name)} points to a folder that is reached by more than ${MAX_LINKS_TO_FOLDER} links; links that point to each other form endless cycles, remove some`,
      );
    }
    linkCounts.set(identity, count);
    await walk(folder, (next) => links.push(next));
  }
  names.sort(byCodeUnits);
  return { count: names.length, names: packNames(names), storage: { kind: 'files', root } };
}

function unreadable(path: string, cause: unknown): DataError {
  return new DataError('not_found', `${path} cannot be read: ${fileProblem(cause)}`, { cause });
}

async function read(path: string): Promise<Dirent[]> {
  return readdir(path, { withFileTypes: true }).catch((cause: unknown) => {
    throw unreadable(path, cause);
  });
}

async function status(path: string): Promise<Stats> {
  return stat(path).catch((cause: unknown) => {
    throw unreadable(path, cause);
  });
}

/** The targets of a folder's links by link name; broken links are absent. */
async function targetsOf(folder: string, entries: readonly Dirent[]): Promise<ReadonlyMap<string, Stats>> {
  const links = entries.filter((entry) => entry.isSymbolicLink());
  const targets = new Map<string, Stats>();
  for (let start = 0; start < links.length; start += LINK_CONCURRENCY) {
    await Promise.all(
      links.slice(start, start + LINK_CONCURRENCY).map(async ({ name }) => {
        const found = await stat(join(folder, name)).catch(() => undefined);
        if (found !== undefined) targets.set(name, found);
      }),
    );
  }
  return targets;
}
