import type { Dirent, Stats } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { fileProblem } from '../files/fileProblem.js';
import { DataError } from './dataError.js';
import { byCodeUnits, isHidden, isImageName } from './imageNames.js';
import { packNames } from './nameTable.js';
import type { SourceIndex } from './sourceIndex.js';

/** Links whose targets are looked at at once. */
const LINKS_AT_ONCE = 256;

/** A folder may be reached by so many links; more are links that lead to each other. */
const MOST_WAYS = 1000;

/** What a folder is, by whatever path it is reached. */
type Identity = string;

const identityOf = ({ dev, ino }: Stats): Identity => `${dev}:${ino}`;

/** A folder that is being walked. */
interface Place {
  /** Path from the root, with a / at its end where it is not the root itself. */
  readonly name: string;
  /** The folders that lead to it, itself the last. */
  readonly line: readonly Identity[];
}

/** A link to a folder. */
interface LinkedFolder {
  readonly place: Place;
  readonly identity: Identity;
}

/**
 * All images below a folder. Links to files and to folders are followed; a link to a folder that is part of the source
 * anyway is not, so that links which lead back to where they stand end, and no image is counted twice. A link with an
 * image's name whose target is not there counts: reading it fails, and says so.
 * @throws DataError `not_found` for a folder that cannot be read, `malformed` where links lead to each other without end.
 */
export async function indexFolder(root: string): Promise<SourceIndex> {
  const names: string[] = [];
  const walked = new Set<Identity>();
  const links: LinkedFolder[] = [];

  const walk = async (start: Place, follow: (link: LinkedFolder) => void): Promise<void> => {
    const open = [start];
    for (let place = open.pop(); place !== undefined; place = open.pop()) {
      const { name, line } = place;
      walked.add(line.at(-1)!);
      const entries = (await read(join(root, name))).filter((entry) => !isHidden(entry.name));
      const targets = await targetsOf(join(root, name), entries);
      for (const entry of entries) {
        const target = targets.get(entry.name);
        if (entry.isDirectory()) {
          const path = `${name}${entry.name}/`;
          const identity = identityOf(await status(join(root, path)));
          if (!line.includes(identity)) open.push({ name: path, line: [...line, identity] });
        } else if (target?.isDirectory()) {
          const identity = identityOf(target);
          follow({ place: { name: `${name}${entry.name}/`, line: [...line, identity] }, identity });
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

  await walk({ name: '', line: [identityOf(await status(root))] }, (link) => links.push(link));
  // What the root itself holds is known now: links into it add nothing.
  const own = new Set(walked);
  const ways = new Map<Identity, number>();
  for (let link = links.shift(); link !== undefined; link = links.shift()) {
    const { place, identity } = link;
    const leadsBack = place.line.indexOf(identity) < place.line.length - 1;
    if (own.has(identity) || leadsBack) continue;
    const count = (ways.get(identity) ?? 0) + 1;
    if (count > MOST_WAYS) {
      throw new DataError(
        'malformed',
        `${join(root, place.name)} leads to a folder that more than ${MOST_WAYS} links reach; links that lead to each other have no end, remove some`,
      );
    }
    ways.set(identity, count);
    await walk(place, (next) => links.push(next));
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

/** What the links of a folder lead to, by their names; a link that leads nowhere is absent. */
async function targetsOf(folder: string, entries: readonly Dirent[]): Promise<ReadonlyMap<string, Stats>> {
  const links = entries.filter((entry) => entry.isSymbolicLink());
  const targets = new Map<string, Stats>();
  for (let start = 0; start < links.length; start += LINKS_AT_ONCE) {
    await Promise.all(
      links.slice(start, start + LINKS_AT_ONCE).map(async ({ name }) => {
        const found = await stat(join(folder, name)).catch(() => undefined);
        if (found !== undefined) targets.set(name, found);
      }),
    );
  }
  return targets;
}
