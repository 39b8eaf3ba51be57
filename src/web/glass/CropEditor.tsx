import type { TargetedPointerEvent } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { inside, sizeOf } from './geometry.js';
import type { CropRequest } from './messages.js';
import type { Photo } from './photo.js';

interface CropEditorProps {
  readonly photo: Photo;
  readonly crops: readonly [CropRequest, CropRequest];
  /** Changes one crop, as it is then. */
  readonly onCrop: (index: 0 | 1, change: (crop: CropRequest) => CropRequest) => void;
}

const NAMES = ['First crop', 'Second crop'] as const;
const FIELDS = ['left', 'top', 'width', 'height'] as const;
const LONGEST = 800;

interface NumberFieldProps {
  readonly label: string;
  readonly min: number;
  readonly max: number;
  readonly value: number;
  readonly onValue: (value: number) => void;
}

/** A number that takes effect when it is complete: what is being typed survives an answer that arrives meanwhile. */
function NumberField({ label, min, max, value, onValue }: NumberFieldProps) {
  const [draft, setDraft] = useState<string | undefined>(undefined);
  return (
    <label>
      {label}
      <input
        type="number"
        min={min}
        max={max}
        value={draft ?? value}
        onInput={(event) => setDraft(event.currentTarget.value)}
        onChange={(event) => {
          setDraft(undefined);
          const { valueAsNumber } = event.currentTarget;
          // Where there is no number, the value stays.
          if (!Number.isNaN(valueAsNumber)) onValue(valueAsNumber);
        }}
      />
    </label>
  );
}

/** Draws two crops of a photograph by hand, or by numbers. */
export function CropEditor({ photo, crops, onCrop }: CropEditorProps) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const start = useRef<{ readonly x: number; readonly y: number } | undefined>(undefined);
  const [active, setActive] = useState<0 | 1>(0);
  const size = sizeOf(photo);
  const scale = LONGEST / Math.max(size.width, size.height);
  const [width, height] = [Math.round(size.width * scale), Math.round(size.height * scale)];
  useEffect(() => {
    if (photo.bitmap) canvas.current!.getContext('2d')!.drawImage(photo.bitmap, 0, 0, width, height);
  }, [photo, width, height]);
  const change = (index: 0 | 1, fields: Partial<CropRequest>) =>
    onCrop(index, (crop) => inside({ ...crop, ...fields }, size));
  const pixel = (event: TargetedPointerEvent<SVGSVGElement>) => {
    const box = event.currentTarget.getBoundingClientRect();
    return {
      x: Math.min(1, Math.max(0, (event.clientX - box.left) / box.width)) * size.width,
      y: Math.min(1, Math.max(0, (event.clientY - box.top) / box.height)) * size.height,
    };
  };
  const onMove = (event: TargetedPointerEvent<SVGSVGElement>) => {
    if (!start.current) return;
    const [from, to] = [start.current, pixel(event)];
    const [w, h] = [Math.abs(to.x - from.x), Math.abs(to.y - from.y)];
    // A click is no crop.
    if (w < 4 || h < 4) return;
    change(active, {
      left: Math.min(from.x, to.x),
      top: Math.min(from.y, to.y),
      width: w,
      height: h,
    });
  };
  return (
    <div class="crops">
      <div class="stage">
        <canvas ref={canvas} width={width} height={height} role="img" aria-label={`${photo.name} with its two crops`} />
        <svg
          viewBox={`0 0 ${size.width} ${size.height}`}
          class="drawing"
          aria-hidden="true"
          onPointerDown={(event) => {
            // Other buttons open menus, and a second finger begins a gesture.
            if (!event.isPrimary || event.button !== 0) return;
            event.currentTarget.setPointerCapture(event.pointerId);
            start.current = pixel(event);
          }}
          onPointerMove={onMove}
          onPointerUp={(event) => {
            onMove(event);
            start.current = undefined;
          }}
          onPointerCancel={() => {
            start.current = undefined;
          }}
        >
          {crops.map((crop, i) => (
            <g key={NAMES[i]} class={`crop crop-${i + 1}${i === active ? ' active' : ''}`}>
              <rect class="under" x={crop.left} y={crop.top} width={crop.width} height={crop.height} />
              <rect class="over" x={crop.left} y={crop.top} width={crop.width} height={crop.height} />
            </g>
          ))}
        </svg>
      </div>
      <div class="numbers">
        {crops.map((crop, i) => (
          <fieldset key={NAMES[i]} class={`crop-${i + 1}`}>
            <legend>
              <label>
                <input type="radio" name="crop" checked={active === i} onChange={() => setActive(i as 0 | 1)} />
                {NAMES[i]}{' '}
                <span class="hint">{active === i ? 'drag on the photograph to draw it' : 'select to draw'}</span>
              </label>
            </legend>
            {FIELDS.map((field) => (
              <NumberField
                key={field}
                label={field}
                min={field === 'left' || field === 'top' ? 0 : 1}
                max={field === 'left' || field === 'width' ? size.width : size.height}
                value={crop[field]}
                onValue={(value) => change(i as 0 | 1, { [field]: value })}
              />
            ))}
            <label class="check">
              <input
                type="checkbox"
                checked={crop.flip ?? false}
                onChange={(event) => change(i as 0 | 1, { flip: event.currentTarget.checked })}
              />
              flip
            </label>
          </fieldset>
        ))}
      </div>
    </div>
  );
}
