import { type BundleSource } from "../src/bundle.js";
import { BundleError } from "../src/errors.js";

const CACHE = "mobile-diffusion";

/**
 * A bundle's files from the server, kept in the browser under their hashes: a file with the same content is fetched once,
 * whichever bundle it is in.
 *
 * Browsers keep such a cache for secure addresses alone; this computer's own is one. Elsewhere the browser asks the server
 * whether its ordinary copy is still right.
 */
export class CachedSource implements BundleSource {
  readonly where: string;
  private received = 0;

  constructor(
    private readonly base: string,
    /** Told the bytes that have come so far, from the server or the cache. */
    private readonly onReceived: (bytes: number) => void,
  ) {
    this.where = new URL(base).pathname.replace(/\/$/, "");
  }

  async read(path: string, sha256?: string): Promise<Uint8Array> {
    const cache = sha256 === undefined ? null : await openCache();
    const key = `${new URL(this.base).origin}/sha256/${sha256}`;
    const kept = await cache?.match(key);
    if (kept !== undefined) return this.counted(await kept.arrayBuffer());
    const response = await fetch(new URL(path, this.base)).catch(() => null);
    if (response === null) throw new BundleError(`${this.where}/${path}: expected the file, got no answer; start the server again`);
    if (!response.ok) throw new BundleError(`${this.where}/${path}: expected the file, got status ${response.status} from the server`);
    const bytes = await response.arrayBuffer();
    await cache?.put(key, new Response(bytes)).catch(() => undefined); // the disk may be full: it goes without
    return this.counted(bytes);
  }

  private counted(bytes: ArrayBuffer): Uint8Array {
    this.received += bytes.byteLength;
    this.onReceived(this.received);
    return new Uint8Array(bytes);
  }
}

async function openCache(): Promise<Cache | null> {
  const storage = (globalThis as { caches?: CacheStorage }).caches;
  return storage === undefined ? null : storage.open(CACHE).catch(() => null);
}
