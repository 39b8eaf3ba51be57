import { open, rm } from 'node:fs/promises';
import sqlite from 'node-sqlite3-wasm';
import { inverse, multiply, normalised } from '../image/homography.js';
import { storedSize, uprightToStored } from '../image/orientation.js';
import { storedKeypoints } from './features.js';
import type { MatchedSet } from './output.js';
import { writeWholeFile } from './wholeFile.js';

/** The tables that COLMAP 3.8 creates; later versions open them and add their own. */
const SCHEMA = `
CREATE TABLE cameras (camera_id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, model INTEGER NOT NULL, width INTEGER NOT NULL,
  height INTEGER NOT NULL, params BLOB, prior_focal_length INTEGER NOT NULL);
CREATE TABLE images (image_id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, name TEXT NOT NULL UNIQUE, camera_id INTEGER NOT NULL,
  prior_qw REAL, prior_qx REAL, prior_qy REAL, prior_qz REAL, prior_tx REAL, prior_ty REAL, prior_tz REAL,
  CONSTRAINT image_id_check CHECK(image_id >= 0 and image_id < 2147483647), FOREIGN KEY(camera_id) REFERENCES cameras(camera_id));
CREATE UNIQUE INDEX index_name ON images(name);
CREATE TABLE keypoints (image_id INTEGER PRIMARY KEY NOT NULL, rows INTEGER NOT NULL, cols INTEGER NOT NULL, data BLOB,
  FOREIGN KEY(image_id) REFERENCES images(image_id) ON DELETE CASCADE);
CREATE TABLE descriptors (image_id INTEGER PRIMARY KEY NOT NULL, rows INTEGER NOT NULL, cols INTEGER NOT NULL, data BLOB,
  FOREIGN KEY(image_id) REFERENCES images(image_id) ON DELETE CASCADE);
CREATE TABLE matches (pair_id INTEGER PRIMARY KEY NOT NULL, rows INTEGER NOT NULL, cols INTEGER NOT NULL, data BLOB);
CREATE TABLE two_view_geometries (pair_id INTEGER PRIMARY KEY NOT NULL, rows INTEGER NOT NULL, cols INTEGER NOT NULL, data BLOB,
  config INTEGER NOT NULL, F BLOB, E BLOB, H BLOB, qvec BLOB, tvec BLOB);
PRAGMA user_version = 3800;
`;

/** COLMAP's SIMPLE_RADIAL: focal length, centre (2), one coefficient of distortion. */
const SIMPLE_RADIAL = 2;
/** COLMAP's first guess of the focal length, in longest sides of the image, where EXIF states none. */
const FOCAL_FACTOR = 1.2;
/** TwoViewGeometry::PLANAR_OR_PANORAMIC: a homography relates the images. */
const PLANAR_OR_PANORAMIC = 6;
/** COLMAP takes every pair of its table of two-view geometries as verified: these are its own least inliers, and share of them. */
const MIN_INLIERS = 15;
const MIN_INLIER_SHARE = 0.25;
/** Image numbers are below this; a pair's number is made with it. */
const MAX_IMAGES = 2_147_483_647n;

const bytesOf = (numbers: Float32Array | Float64Array | Uint32Array): Uint8Array =>
  new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength);

/** COLMAP's number of a pair. @param first the lower number of an image, from 1 */
const pairId = (first: number, second: number): bigint => BigInt(first) * MAX_IMAGES + BigInt(second);

/** Rows of keypoint numbers, the lower image first. */
function matchRows(source: readonly number[], target: readonly number[], swapped: boolean): Uint8Array {
  const [first, second] = swapped ? [target, source] : [source, target];
  return bytesOf(Uint32Array.from({ length: 2 * source.length }, (_, i) => (i % 2 === 0 ? first : second)[i >> 1]!));
}

async function fill(database: sqlite.Database, set: MatchedSet, singleCamera: boolean): Promise<void> {
  const ids = new Map(set.names.map((name, i) => [name, i + 1] as const));
  for (const [name, id] of ids) {
    const features = await set.features(name);
    const { width, height } = storedSize(features);
    if (!singleCamera || id === 1) {
      const params = Float64Array.of(FOCAL_FACTOR * Math.max(width, height), width / 2, height / 2, 0);
      database.run('INSERT INTO cameras VALUES (?, ?, ?, ?, ?, 0)', [
        id,
        SIMPLE_RADIAL,
        width,
        height,
        bytesOf(params),
      ]);
    }
    database.run('INSERT INTO images (image_id, name, camera_id) VALUES (?, ?, ?)', [id, name, singleCamera ? 1 : id]);
    const points = storedKeypoints(features);
    database.run('INSERT INTO keypoints VALUES (?, ?, 2, ?)', [id, points.length / 2, bytesOf(points)]);
  }
  const none = bytesOf(new Float64Array(9));
  for (const pair of set.pairs) {
    const { source, target, homography } = await set.matches(pair);
    const [a, b] = [ids.get(pair.a)!, ids.get(pair.b)!];
    const swapped = a > b;
    const id = pairId(Math.min(a, b), Math.max(a, b));
    database.run('INSERT INTO matches VALUES (?, ?, 2, ?)', [id, source.length, matchRows(source, target, swapped)]);
    if (homography === undefined || !('matrix' in homography)) continue;
    const inlierCount = homography.inliers.length;
    if (inlierCount < MIN_INLIERS || inlierCount < MIN_INLIER_SHARE * source.length) continue;
    const [ofA, ofB] = [await set.features(pair.a), await set.features(pair.b)];
    const stored = multiply(multiply(uprightToStored(ofB), homography.matrix), inverse(uprightToStored(ofA)));
    const matrix = normalised(swapped ? inverse(stored) : stored);
    const inliers = matchRows(
      homography.inliers.map((i) => source[i]!),
      homography.inliers.map((i) => target[i]!),
      swapped,
    );
    database.run('INSERT INTO two_view_geometries VALUES (?, ?, 2, ?, ?, ?, ?, ?, ?, ?)', [
      id,
      inlierCount,
      inliers,
      PLANAR_OR_PANORAMIC,
      none,
      none,
      bytesOf(Float64Array.from(matrix)),
      bytesOf(new Float64Array(4)),
      bytesOf(new Float64Array(3)),
    ]);
  }
}

/**
 * Writes a COLMAP database: cameras (SIMPLE_RADIAL with COLMAP's own first guess), images, keypoints, matches, and two-view geometries
 * of the pairs with a homography that has as many inliers as COLMAP asks for. There are no descriptors: COLMAP's are SIFT. The file is
 * written beside its place, synced and renamed.
 * @param singleCamera one camera for all images, which must have one size
 */
export function writeColmapDatabase(path: string, set: MatchedSet, singleCamera: boolean): Promise<void> {
  const write = async (temporary: string): Promise<void> => {
    // SQLite would create the file for its owner alone.
    await (await open(temporary, 'wx')).close();
    const database = new sqlite.Database(temporary);
    try {
      // A file that is not whole is never renamed, so that SQLite need not be able to undo its changes.
      database.exec('PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;');
      database.exec(SCHEMA);
      database.exec('BEGIN');
      await fill(database, set, singleCamera);
      database.exec('COMMIT');
    } catch (cause) {
      if (!(cause instanceof sqlite.SQLite3Error)) throw cause;
      throw new Error(`${path} cannot be written: ${cause.message} (is the disk full?)`, { cause });
    } finally {
      database.close();
    }
    // COLMAP uses a write-ahead log. What one left would be applied to the new file.
    for (const log of ['-wal', '-shm']) await rm(`${path}${log}`, { force: true });
  };
  // The library locks a file by a folder beside it.
  return writeWholeFile(path, write, (temporary) => [`${temporary}.lock`]);
}
