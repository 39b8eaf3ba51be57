/** Extensions of image files. How a file is decoded depends on its content, not on its extension. */
export const imageExtensions = ['jpg', 'jpeg', 'png', 'webp', 'gif', 'tif', 'tiff', 'avif'] as const;

const pattern = new RegExp(`\\.(${imageExtensions.join('|')})$`, 'i');

/** Whether a path (separated by /) is hidden: one of its parts starts with a dot, such as `.ipynb_checkpoints`. */
export function isHidden(path: string): boolean {
  return /(^|\/)\.(?!\.?(\/|$))/.test(path);
}

/** Whether a path (separated by /) is the name of an image; hidden files and files in hidden folders are not. */
export function isImageName(path: string): boolean {
  return pattern.test(path) && !isHidden(path);
}

/** Compares strings by their UTF-16 code units, which does not depend on the locale of the machine. */
export function byCodeUnits(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
