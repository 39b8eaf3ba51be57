// Search by image in PostgreSQL with pgvector.
//
//   DATABASE_URL=postgres://... node examples/pgvector.mjs FOLDER QUERY.jpg [http://127.0.0.1:8080]
//
// Without DATABASE_URL, the database runs in this process and is not stored (npm install @electric-sql/pglite
// @electric-sql/pglite-pgvector); with it, npm install pg.
import { createHash } from 'node:crypto';
import { realpathSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { embed, embedFolder } from './embedFolder.mjs';

/** pgvector indexes at most 2,000 dimensions of `vector` (float32), and 4,000 of `halfvec` (float16). */
const MAX_VECTOR = 2000;
const MAX_HALFVEC = 4000;

/** The type in which vectors with so many dimensions are indexed and compared. */
export const typeOf = (dimensions) => (dimensions > MAX_VECTOR ? 'halfvec' : 'vector');

/** pgvector's text form. */
const textOf = (vector) => `[${vector.join(',')}]`;

/**
 * Creates the table, and the index of a model, if they do not exist. An index of all models would find the nearest vectors of any model,
 * of which a search then drops those of other models: it could be left with none. Models may differ in their dimensions.
 * @param db has query(sql, parameters), as pg and PGlite do
 * @param image the vector of any image, and the `name@version` of the model that computed it
 */
export async function createTable(db, { vector: { length }, model }) {
  const type = typeOf(length);
  await db.query('CREATE EXTENSION IF NOT EXISTS vector');
  await db.query(
    'CREATE TABLE IF NOT EXISTS images (path text PRIMARY KEY, model text NOT NULL, embedding vector NOT NULL)',
  );
  if (length > MAX_HALFVEC) return; // Searches then compare all rows of the model.
  const name = `images_${createHash('sha256').update(model).digest('hex').slice(0, 16)}`;
  await db.query(
    `CREATE INDEX IF NOT EXISTS ${name} ON images USING hnsw ((embedding::${type}(${length})) ${type}_cosine_ops)
     WHERE model = '${model.replaceAll("'", "''")}'`,
  );
}

/** Adds an image, or replaces its vector. */
export function store(db, { path, model, vector }) {
  return db.query(
    `INSERT INTO images (path, model, embedding) VALUES ($1, $2, $3)
     ON CONFLICT (path) DO UPDATE SET model = excluded.model, embedding = excluded.embedding`,
    [path, model, textOf(vector)],
  );
}

/** The most similar images, at most 40 (pgvector's `hnsw.ef_search`); only vectors of one model can be compared. */
export async function search(db, { vector, model }, count = 5) {
  const type = `${typeOf(vector.length)}(${vector.length})`;
  const { rows } = await db.query(
    `SELECT path, 1 - (embedding::${type} <=> $1::${type}) AS similarity FROM images WHERE model = $2
     ORDER BY embedding::${type} <=> $1::${type} LIMIT $3`,
    [textOf(vector), model, count],
  );
  return rows;
}

async function openDatabase() {
  const url = process.env.DATABASE_URL;
  if (url === undefined) {
    const { PGlite } = await import('@electric-sql/pglite');
    const { vector } = await import('@electric-sql/pglite-pgvector');
    const db = await PGlite.create({ extensions: { vector } });
    return { db, close: () => db.close() };
  }
  const { default: pg } = await import('pg');
  const db = new pg.Client({ connectionString: url });
  await db.connect();
  return { db, close: () => db.end() };
}

if (realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const [, , folder, query, service = 'http://127.0.0.1:8080'] = process.argv;
  const { db, close } = await openDatabase();
  const wanted = await embed(query, service);
  await createTable(db, wanted);
  for await (const image of embedFolder(folder, service)) await store(db, image);
  for (const { path, similarity } of await search(db, wanted)) console.log(`${similarity.toFixed(3)} ${path}`);
  await close();
}
