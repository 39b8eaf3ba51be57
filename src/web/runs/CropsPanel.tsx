import { useState } from 'preact/hooks';
import type { RunState } from '../../runsView/contract.js';
import { ApiError, send } from '../shared/api.js';

/** The crops of a run's first step with their matches, as its dry run draws them. */
export function CropsPanel({ run: { id, name } }: { readonly run: RunState }) {
  const [state, setState] = useState<'loading' | 'shown' | string>('loading');
  const path = `api/runs/${id}/crops.png`;
  const explain = async () => {
    const message = await send(path).then(
      () => 'The picture cannot be shown.',
      (cause: unknown) => (cause instanceof ApiError ? cause.message : String(cause)),
    );
    setState(message);
  };
  const failed = state !== 'loading' && state !== 'shown';
  return (
    <figure class="sampled">
      <figcaption>
        <strong>{name}</strong>{' '}
        <span>
          Photographs of the first step: each with its two large views and the location-based pairs that the loss keeps
        </span>
      </figcaption>
      {failed ? (
        <div class="problem" role="alert">
          <strong>The crops cannot be drawn.</strong> {state}
        </div>
      ) : (
        <div class={state === 'loading' ? 'stage loading waiting' : 'stage'}>
          <img
            src={path}
            alt={`Crops of ${name} with their matched cells boxed and joined`}
            onLoad={() => setState('shown')}
            onError={() => void explain()}
          />
        </div>
      )}
    </figure>
  );
}
