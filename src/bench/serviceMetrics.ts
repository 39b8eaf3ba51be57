/** What the service's own metrics say, as text. @param metricsAddress HOST:PORT */
export async function metricsText(metricsAddress: string): Promise<string> {
  return (await fetch(`http://${metricsAddress}/metrics`)).text();
}

/** Images that the service has run so far. */
export async function imagesRun(metricsAddress: string): Promise<number> {
  return Number(/^vicregl_batch_images_sum (\S+)$/m.exec(await metricsText(metricsAddress))?.[1] ?? 0);
}
