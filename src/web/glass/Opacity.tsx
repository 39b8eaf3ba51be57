interface OpacityProps {
  readonly value: number;
  readonly onValue: (value: number) => void;
  readonly label?: string;
}

/** How much of the photograph the map hides. */
export function Opacity({ value, onValue, label = 'Map over photograph' }: OpacityProps) {
  return (
    <label class="slider">
      {label}
      <input
        type="range"
        min="0"
        max="1"
        step="0.05"
        value={value}
        onInput={(event) => onValue(Number(event.currentTarget.value))}
      />
      <output>{Math.round(value * 100)} %</output>
    </label>
  );
}
