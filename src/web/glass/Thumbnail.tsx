import { useEffect, useRef } from 'preact/hooks';
import type { Photo } from './photo.js';

const SIDE = 160;

/** A small square of a photograph's middle. */
export function Thumbnail({ photo: { bitmap, name } }: { readonly photo: Photo }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    const context = canvas.current!.getContext('2d')!;
    context.clearRect(0, 0, SIDE, SIDE);
    if (!bitmap) return;
    const side = Math.min(bitmap.width, bitmap.height);
    const [x, y] = [(bitmap.width - side) / 2, (bitmap.height - side) / 2];
    context.imageSmoothingQuality = 'high';
    context.drawImage(bitmap, x, y, side, side, 0, 0, SIDE, SIDE);
  }, [bitmap]);
  return <canvas ref={canvas} class="thumbnail" width={SIDE} height={SIDE} role="img" aria-label={name} />;
}
