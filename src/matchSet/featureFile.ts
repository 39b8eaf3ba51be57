import { Dataset, type Group } from 'h5wasm/node';
import { type Orientation, storedSize } from '../image/orientation.js';
import { type ImageFeatures, storedKeypoints, uncertaintyOf } from './features.js';
import { groupAt, type Hdf5Reader, type Hdf5Writer, readHdf5, writeHdf5, writeNumbers } from './hdf5.js';
import { MatchSetError } from './matchSetError.js';

/** hloc's centre of the first pixel is (0, 0); ours is (0.5, 0.5). */
const HLOC_SHIFT = -0.5;

/** The features of many images in one HDF5 file, in hloc's layout. */
export interface FeatureFile {
  /** The settings with which the features were made. */
  readonly settings: string;
  readonly names: ReadonlySet<string>;
  read(name: string): ImageFeatures;
  close(): void;
}

/** [N, C] as [C, N], or back. */
function transposed(data: Float32Array, rows: number, columns: number): Float32Array {
  const result = new Float32Array(data.length);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) result[column * rows + row] = data[row * columns + column]!;
  }
  return result;
}

/** hloc's data sets of an image, and as attributes of its group what hloc does not have. */
function writeImage(root: Group, name: string, features: ImageFeatures): void {
  const { rows, columns, channels, descriptors, norms, orientation, stride, cellToPixel, global } = features;
  const cells = rows * columns;
  const group = groupAt(root, name);
  const points = storedKeypoints(features).map((value) => value + HLOC_SHIFT);
  writeNumbers(group, 'keypoints', [cells, 2], points);
  (group.get('keypoints') as Dataset).create_attribute('uncertainty', uncertaintyOf(features), null, '<d');
  writeNumbers(group, 'descriptors', [channels, cells], transposed(descriptors, cells, channels));
  writeNumbers(group, 'scores', [cells], norms);
  const { width, height } = storedSize(features);
  writeNumbers(group, 'image_size', [2], Int32Array.of(width, height));
  if (global) writeNumbers(group, 'global_descriptor', [global.length], global);
  group.create_attribute('grid', Int32Array.of(rows, columns, stride, orientation), [4], '<i');
  const { scaleX, scaleY, offsetX, offsetY } = cellToPixel;
  group.create_attribute('cell_to_pixel', Float64Array.of(scaleX, scaleY, offsetX, offsetY), [4], '<d');
}

function readImage(root: Group, name: string): ImageFeatures {
  const group = root.get(name) as Group;
  const values = (key: string) => (group.get(key) as Dataset | null)?.value;
  const [rows = 0, columns = 0, stride = 0, orientation = 1] = group.attrs['grid']!.value as Int32Array;
  const [scaleX = 0, scaleY = 0, offsetX = 0, offsetY = 0] = group.attrs['cell_to_pixel']!.value as Float64Array;
  const [width = 0, height = 0] = values('image_size') as Int32Array;
  const flat = values('descriptors') as Float32Array;
  const cells = rows * columns;
  const channels = flat.length / cells;
  const global = values('global_descriptor') as Float32Array | undefined;
  return {
    rows,
    columns,
    channels,
    stride,
    orientation: orientation as Orientation,
    // The same map leads back.
    upright: storedSize({ upright: { width, height }, orientation: orientation as Orientation }),
    cellToPixel: { scaleX, scaleY, offsetX, offsetY },
    descriptors: transposed(flat, channels, cells),
    norms: values('scores') as Float32Array,
    ...(global && { global }),
  };
}

/** Names of the images below a group: the groups that have keypoints. */
function* imagesBelow(group: Group, name = ''): Generator<string> {
  // A folder of images may have this name too.
  if (group.keys().includes('keypoints') && group.get('keypoints') instanceof Dataset) {
    yield name;
    return;
  }
  for (const key of group.keys()) yield* imagesBelow(group.get(key) as Group, name === '' ? key : `${name}/${key}`);
}

/**
 * Opens a feature file.
 * @throws MatchSetError `damaged` if it is not one of ours; the file system's error if it cannot be opened.
 */
export async function openFeatureFile(path: string): Promise<FeatureFile> {
  let file: Hdf5Reader | undefined;
  try {
    file = await readHdf5(path);
    const { root, close } = file;
    const settings = root.attrs['vicregl']?.value;
    if (typeof settings !== 'string') throw new Error('it has no attribute vicregl');
    const names = new Set(imagesBelow(root));
    return { settings, names, read: (name) => readImage(root, name), close };
  } catch (cause) {
    file?.close();
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') throw cause;
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new MatchSetError('damaged', `${path} is not a file of features of vicregl (${reason}); remove it`, {
      cause,
    });
  }
}

/** Writes a feature file atomically. @param images names and how to read the features of each */
export async function writeFeatureFile(
  path: string,
  settings: string,
  images: Iterable<{ readonly name: string; read(): Promise<ImageFeatures> | ImageFeatures }>,
): Promise<void> {
  await writeHdf5(path, async (writer: Hdf5Writer) => {
    writer.write((root) => root.create_attribute('vicregl', settings));
    for (const { name, read } of images) {
      const features = await read();
      writer.write((root) => writeImage(root, name, features));
    }
  });
}
