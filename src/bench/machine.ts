import { availableParallelism, cpus } from 'node:os';

/** The machine that figures were measured on: its cores and their model, such as `2 x AMD EPYC`. */
export const machineName = (): string => `${availableParallelism()} x ${cpus()[0]?.model.trim()}`;
