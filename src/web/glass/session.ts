import { createContext } from 'preact';

/**
 * A time in which the page asks the service under the same conditions. A new one begins with another token, with another default model, and
 * when the user tries again. Views then ask anew for what is not kept.
 */
export interface Session {
  readonly count: number;
  readonly renew: () => void;
}

export const SessionContext = createContext<Session>({ count: 0, renew: () => {} });
