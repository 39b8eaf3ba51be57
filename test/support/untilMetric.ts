import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';

/** Waits until the metrics of a service have a line. Fails after a minute with the metrics of queues and calls. */
export async function untilMetric(metricsAddress: string, line: RegExp): Promise<void> {
  for (const end = Date.now() + 60_000; ; await delay(10)) {
    const text = await (await fetch(`http://${metricsAddress}/metrics`)).text();
    if (line.test(text)) return;
    const lines = text.match(/^vicregl_(queue|requests|held).*$/gm)?.join('\n');
    assert.ok(Date.now() < end, `${line} does not come:\n${lines}`);
  }
}
