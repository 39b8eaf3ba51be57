import { groupAt, writeHdf5, writeNumbers } from './hdf5.js';
import { MatchSetError } from './matchSetError.js';
import type { MatchedSet, NamedPair } from './output.js';

/** hloc's name of the group of a pair. */
const hlocPairName = ({ a, b }: NamedPair): string => `${a.replaceAll('/', '-')}/${b.replaceAll('/', '-')}`;

/**
 * Checks that hloc can name the images: in lists of pairs a space ends a name, and in its file of matches - stands for /.
 * @throws MatchSetError `bad_images` for a name with a space, or two that are one then.
 */
export function checkHlocNames(names: readonly string[]): void {
  const seen = new Map<string, string>();
  for (const name of names) {
    if (/\s/.test(name)) {
      throw new MatchSetError(
        'bad_images',
        `image "${name}" has a space in its name, which ends a name in hloc's lists; rename it`,
      );
    }
    const flat = name.replaceAll('/', '-');
    const other = seen.get(flat);
    if (other !== undefined) {
      throw new MatchSetError(
        'bad_images',
        `images ${other} and ${name} have the same name in hloc's file of matches, ${flat}; rename one of them`,
      );
    }
    seen.set(flat, name);
  }
}

/** hloc has scores from 0 to 1: of a cosine similarity of 1 it is 1, of -1 it is 0, as hloc's nearest neighbours. */
const scoreOf = (similarity: number): number => (similarity + 1) / 2;

/**
 * Writes the matches as hloc's match_features does: for each pair `matches0` [N], the keypoint of b for each of a or -1, and
 * `matching_scores0` [N], 0 without a match.
 */
export async function writeHlocMatches(path: string, set: MatchedSet): Promise<void> {
  await writeHdf5(path, async (writer) => {
    for (const pair of set.pairs) {
      const { rows, columns } = await set.features(pair.a);
      const { source, target, similarity } = await set.matches(pair);
      const matches = new Int32Array(rows * columns).fill(-1);
      const scores = new Float32Array(rows * columns);
      for (const [i, cell] of source.entries()) {
        matches[cell] = target[i]!;
        scores[cell] = scoreOf(similarity[i]!);
      }
      writer.write((root) => {
        const group = groupAt(root, hlocPairName(pair));
        writeNumbers(group, 'matches0', [matches.length], matches);
        writeNumbers(group, 'matching_scores0', [scores.length], scores);
      });
    }
  });
}
