/** Requests to the origin of the page. */

/** What went wrong, in the service's words where it gave some. */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  /** HTTP status; 0 if nothing answered. */
  readonly status: number;
  /** The reason of the service's google.rpc.ErrorInfo, such as IMAGE_CORRUPT. */
  readonly reason: string | undefined;
  constructor(message: string, status: number, reason?: string) {
    super(message);
    this.status = status;
    this.reason = reason;
  }
}

/** An error of a request as the pages show it. */
export const asApiError = (cause: unknown): ApiError =>
  cause instanceof ApiError ? cause : new ApiError(String(cause), 0);

/** A google.rpc.Status as JSON; some proxies put it into `error`. */
interface StatusJson {
  readonly message?: string;
  readonly error?: { readonly message?: string } | string;
  readonly details?: readonly { readonly reason?: string }[];
}

let token = '';

/** The token of the following requests. It is kept until the page is closed. */
export function setToken(next: string): void {
  token = next;
}

let onDenied: (error: ApiError) => void = () => {};

/** Calls back whenever the server refuses the token of a request, or wants one (401). */
export function watchDenied(listener: (error: ApiError) => void): void {
  onDenied = listener;
}

async function failure(response: Response): Promise<ApiError> {
  const text = await response.text().catch(() => '');
  try {
    const status = JSON.parse(text) as StatusJson;
    const nested = typeof status.error === 'object' ? status.error.message : status.error;
    const reason = status.details?.find((detail) => detail.reason !== undefined)?.reason;
    return new ApiError(status.message ?? nested ?? `HTTP ${response.status}`, response.status, reason);
  } catch {
    const line = text.trim().split('\n')[0]!.slice(0, 300);
    return new ApiError(line === '' ? `HTTP ${response.status} ${response.statusText}` : line, response.status);
  }
}

/**
 * Sends a request to a path of the page's own origin.
 * @throws ApiError; an aborted request throws the signal's reason.
 */
export async function send(path: string, init: RequestInit = {}): Promise<Response> {
  const headers = new Headers(init.headers);
  const sent = token;
  if (token !== '') headers.set('authorization', `Bearer ${token}`);
  let response: Response;
  try {
    response = await fetch(new URL(path, document.baseURI), { ...init, headers });
  } catch (error) {
    if (init.signal?.aborted) throw error;
    throw new ApiError('no answer from the server; is it still running?', 0);
  }
  if (response.ok || response.status === 304) return response;
  const error = await failure(response);
  // A request that an older token was sent with says nothing about this one.
  if (error.status === 401 && token === sent) onDenied(error);
  throw error;
}

export async function getJson<T>(path: string, signal?: AbortSignal): Promise<T> {
  return (await (await send(path, signal ? { signal } : {})).json()) as T;
}

export async function postJson<T>(path: string, body: string, signal?: AbortSignal): Promise<T> {
  const init = { method: 'POST', body, headers: { 'content-type': 'application/json' } };
  return (await (await send(path, signal ? { ...init, signal } : init)).json()) as T;
}
