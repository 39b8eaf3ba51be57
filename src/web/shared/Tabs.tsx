import type { ComponentChildren, TargetedKeyboardEvent } from 'preact';
import { useRef } from 'preact/hooks';

interface TabsProps<T extends string> {
  /** Labels by name, in their order. */
  readonly tabs: Readonly<Record<T, string>>;
  readonly chosen: T;
  readonly onChoose: (tab: T) => void;
  readonly label: string;
  readonly children: ComponentChildren;
}

/** Tabs as in the ARIA practices: one stop of the Tab key, arrow keys between them. */
export function Tabs<T extends string>({ tabs, chosen, onChoose, label, children }: TabsProps<T>) {
  const list = useRef<HTMLDivElement>(null);
  const names = Object.keys(tabs) as T[];
  const onKeyDown = (event: TargetedKeyboardEvent<HTMLDivElement>) => {
    // With these, the keys are the browser's, such as Alt+Left for the page before.
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const at = names.indexOf(chosen);
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: names.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    const index = (to + names.length) % names.length;
    onChoose(names[index]!);
    (list.current?.children[index] as HTMLElement | undefined)?.focus();
  };
  return (
    <>
      <div class="tabs" role="tablist" aria-label={label} ref={list} onKeyDown={onKeyDown}>
        {names.map((name) => (
          <button
            key={name}
            type="button"
            role="tab"
            id={`tab-${name}`}
            aria-selected={name === chosen}
            aria-controls="tab-panel"
            tabIndex={name === chosen ? 0 : -1}
            onClick={() => onChoose(name)}
          >
            {tabs[name]}
          </button>
        ))}
      </div>
      <section role="tabpanel" id="tab-panel" aria-labelledby={`tab-${chosen}`}>
        {children}
      </section>
    </>
  );
}
