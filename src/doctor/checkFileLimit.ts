import { error, type Finding, ok, warning } from './finding.js';

const CHECK = 'files';

/** Files of an idle service with one worker and some decode processes: libraries, pipes, sockets. */
const LEAST = 256;

/** As many connections at once as a busy service behind a load balancer may have. */
const USUAL = 4096;

/**
 * The maximum number of open files; each connection is one.
 * @param limits content of /proc/self/limits; undefined on other systems than Linux
 */
export function checkFileLimit(limits: string | undefined): Finding {
  const line = /^Max open files\s+(\d+|unlimited)\s+(\d+|unlimited)/m.exec(limits ?? '');
  if (line === null) return ok(CHECK, 'the limit of open files is not known here: there is no /proc/self/limits');
  const [, soft, hard] = line as unknown as [string, string, string];
  // Node raises the first to the second when it starts.
  const most = hard === 'unlimited' ? Number.POSITIVE_INFINITY : Number(hard);
  const found = `${soft === hard ? soft : `${soft}, at most ${hard}`} files may be open at once (ulimit -n)`;
  const advice =
    `Every connection, worker and decode process takes files. Raise the limit to ${USUAL} or more: "ulimit -Hn" before the start, ` +
    'LimitNOFILE= in a systemd unit, --ulimit nofile= for a container. Without it, new connections fail with EMFILE under load.';
  if (most >= USUAL) return ok(CHECK, found);
  return most >= LEAST ? warning(CHECK, found, advice) : error(CHECK, found, advice);
}
