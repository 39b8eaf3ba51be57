/** What the page of training runs receives. Types only: the page imports them. */

/** Answer of /api/runs. */
export interface RunsAnswer {
  readonly runs: readonly RunState[];
  /** Panels in their order. */
  readonly panels: readonly PanelOf[];
  /** Logged terms in their order. */
  readonly terms: readonly TermOf[];
  /** Configuration keys in which the runs differ. */
  readonly differences: readonly { readonly key: string; readonly values: readonly (string | null)[] }[];
}

export interface PanelOf {
  readonly name: string;
  readonly title: string;
  /** Whether the value axis begins at zero. */
  readonly zero: boolean;
}

export interface TermOf {
  readonly name: string;
  /** Absent for terms that only describe progress. */
  readonly panel?: string;
  readonly what: string;
}

export interface RunState {
  readonly id: number;
  readonly name: string;
  readonly folder: string;
  readonly architecture: string;
  readonly alpha: number;
  readonly batchSize: number;
  /** Epochs of the configuration. */
  readonly epochs: number;
  /** Whether a process trains into the folder. */
  readonly training: boolean;
  /** Grows with every record of the log, and when the log begins again. */
  readonly revision: number;
  /** Steps taken, and epochs begun. */
  readonly steps: number;
  readonly epoch: number;
  /** Median over the last steps. */
  readonly imagesPerSecond?: number;
  /** Photographs that were skipped. */
  readonly skipped: number;
  readonly best?: { readonly step: number; readonly metric: string; readonly value: number };
  /** The last ones, and how many there were before them. */
  readonly alarms: readonly { readonly step: number; readonly message: string }[];
  readonly earlierAlarms: number;
  readonly monitors: readonly MonitorOf[];
  /** Why its files cannot be read; all else is then as it was read last. */
  readonly problem?: string;
}

/** A collapse monitor: the standard deviation of normalised vectors. */
export interface MonitorOf {
  readonly term: string;
  /** The value of evenly spread vectors. */
  readonly even: number;
  /** The run warns below this value; absent where no alarm watches the term. */
  readonly alarm?: number;
}

/** Answer of /api/runs/ID/curves: means over neighbouring steps, in a bounded number of points. */
export interface CurvesAnswer {
  readonly revision: number;
  /** The last step of each point. */
  readonly steps: readonly number[];
  /** Values of each term at each point; null where it was not logged. */
  readonly terms: Readonly<Record<string, readonly (number | null)[]>>;
}
