/** Extensions taken for images; the content decides later how a file is decoded. */
export const imageExtensions = ['jpg', 'jpeg', 'png', 'webp', 'gif', 'tif', 'tiff', 'avif'] as const;

const pattern = new RegExp(`\\.(${imageExtensions.join('|')})$`, 'i');

/** Whether a path (with / between its parts) names an image; hidden files, such as macOS's `._1.jpg`, do not. */
export function isImageName(path: string): boolean {
  const name = path.slice(path.lastIndexOf('/') + 1);
  return pattern.test(name) && !name.startsWith('.');
}

/** Orders strings by their UTF-16 units: the same on every machine, whatever its locale. */
export function byCodeUnits(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
