import { type BigIntStats, fstatSync } from 'node:fs';

/**
 * What an open descriptor is. With large integers: Node keeps the numbers of its last synchronous stat, and takes them in realpathSync
 * for those of a folder. After one of a pipe it resolves no more symbolic links, and imports packages of a linked node_modules twice.
 */
export const openFileKind = (descriptor: number): BigIntStats => fstatSync(descriptor, { bigint: true });
