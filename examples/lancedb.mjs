// Search by image in LanceDB, which runs in this process and stores its tables in a folder.
//
//   node examples/lancedb.mjs FOLDER QUERY.jpg [http://127.0.0.1:8080] [DATABASE]     (npm install @lancedb/lancedb apache-arrow)
import { realpathSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { connect } from '@lancedb/lancedb';
import { embed, embedFolder } from './embedFolder.mjs';

/** Adds the rows, or replaces those of the same path. */
export async function store(database, rows) {
  if (rows.length === 0) return;
  const data = rows.map(({ path, model, vector }) => ({ path, model, vector: [...vector] }));
  if ((await database.tableNames()).includes('images')) {
    const table = await database.openTable('images');
    await table.mergeInsert('path').whenMatchedUpdateAll().whenNotMatchedInsertAll().execute(data);
  } else await database.createTable('images', data);
}

/** The most similar images; only vectors of one model can be compared. */
export async function search(database, { vector, model }, count = 5) {
  const table = await database.openTable('images');
  const query = table
    .query()
    .nearestTo([...vector])
    .distanceType('cosine');
  const rows = await query
    .where(`model = '${model.replaceAll("'", "''")}'`)
    .limit(count)
    .toArray();
  return rows.map((row) => ({ path: row.path, similarity: 1 - row._distance }));
}

if (realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const [, , folder, query, service = 'http://127.0.0.1:8080', path = 'images.lancedb'] = process.argv;
  const database = await connect(path);
  // Each call writes a new version of the table: rows are added in large parts.
  let rows = [];
  for await (const image of embedFolder(folder, service)) {
    rows.push(image);
    if (rows.length < 1000) continue;
    await store(database, rows);
    rows = [];
  }
  await store(database, rows);
  for (const { path: found, similarity } of await search(database, await embed(query, service))) {
    console.log(`${similarity.toFixed(3)} ${found}`);
  }
}
