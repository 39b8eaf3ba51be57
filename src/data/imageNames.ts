/** Extensions taken for images; the content decides later how a file is decoded. */
export const imageExtensions = ['jpg', 'jpeg', 'png', 'webp', 'gif', 'tif', 'tiff', 'avif'] as const;

const pattern = new RegExp(`\\.(${imageExtensions.join('|')})$`, 'i');

/** Whether a path (with / between its parts) is hidden: a part of it starts with a dot, such as `.ipynb_checkpoints`. */
export function isHidden(path: string): boolean {
  return /(^|\/)\.(?!\.?(\/|$))/.test(path);
}

/** Whether a path (with / between its parts) names an image; hidden files and files of hidden folders do not. */
export function isImageName(path: string): boolean {
  return pattern.test(path) && !isHidden(path);
}

/** Orders strings by their UTF-16 units: the same on every machine, whatever its locale. */
export function byCodeUnits(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
