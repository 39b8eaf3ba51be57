import type { Matching } from './matching.js';
import type { MatchDistance } from './messages.js';

interface MatchControlsProps {
  readonly matching: Matching;
  readonly onMatching: (matching: Matching) => void;
  /** Number of cells of the first picture: the greatest gamma. */
  readonly cells: number;
}

interface LimitProps {
  readonly label: string;
  readonly value: number | undefined;
  /** The value when it is switched on. */
  readonly usual: number;
  readonly min: number;
  readonly max: number;
  readonly onValue: (value: number | undefined) => void;
}

/** A filter that may be off. */
function Limit({ label, value, usual, min, max, onValue }: LimitProps) {
  return (
    <div class="limit">
      <label class="check">
        <input
          type="checkbox"
          checked={value !== undefined}
          onChange={(event) => onValue(event.currentTarget.checked ? usual : undefined)}
        />
        {label}
      </label>
      <input
        type="range"
        aria-label={label}
        min={min}
        max={max}
        step="0.01"
        value={value ?? usual}
        disabled={value === undefined}
        onInput={(event) => onValue(Number(event.currentTarget.value))}
      />
      <output>{value === undefined ? 'off' : value.toFixed(2)}</output>
    </div>
  );
}

/** Options of the match, as in its request. */
export function MatchControls({ matching, onMatching, cells }: MatchControlsProps) {
  const { by, gamma, mutual, ratio, minSimilarity, distance, homography } = matching;
  const set = (change: Partial<Matching>) => onMatching({ ...matching, ...change });
  return (
    <div class="controls">
      <label class="slider">
        Gamma (pairs)
        <input
          type="range"
          min="1"
          max={cells}
          step="1"
          value={gamma === 0 ? cells : Math.min(gamma, cells)}
          onInput={(event) => {
            const value = Number(event.currentTarget.value);
            set({ gamma: value >= cells ? 0 : value });
          }}
        />
        <output>{gamma === 0 ? 'all' : gamma}</output>
      </label>
      {by === 'features' && (
        <>
          <label>
            Distance{' '}
            <select
              value={distance}
              onChange={(event) => set({ distance: event.currentTarget.value as MatchDistance })}
            >
              <option value="MATCH_DISTANCE_L2">L2</option>
              <option value="MATCH_DISTANCE_COSINE">cosine</option>
              <option value="MATCH_DISTANCE_CENTRED_COSINE">centred cosine</option>
            </select>
          </label>
          <Limit
            label="Ratio"
            {...{ value: ratio, usual: 0.9, min: 0.01, max: 1 }}
            onValue={(value) => set({ ratio: value })}
          />
          <Limit
            label="Least similarity"
            {...{ value: minSimilarity, usual: 0.5, min: -1, max: 1 }}
            onValue={(value) => set({ minSimilarity: value })}
          />
          <label class="check">
            <input
              type="checkbox"
              checked={mutual}
              onChange={(event) => set({ mutual: event.currentTarget.checked })}
            />
            Mutual nearest only
          </label>
        </>
      )}
      <label class="check">
        <input
          type="checkbox"
          checked={homography}
          onChange={(event) => set({ homography: event.currentTarget.checked })}
        />
        Homography
      </label>
    </div>
  );
}
