/** Fetches the metrics of the service as text. @param metricsAddress HOST:PORT */
export async function metricsText(metricsAddress: string): Promise<string> {
  return (await fetch(`http://${metricsAddress}/metrics`)).text();
}

/** Returns the number of images that the service has processed so far. */
export async function imagesRun(metricsAddress: string): Promise<number> {
  return Number(/^vicregl_batch_images_sum (\S+)$/m.exec(await metricsText(metricsAddress))?.[1] ?? 0);
}
