import { ensureBuilt } from '../kube/binaries.ts';

/** Path of the program in `go-tunnel`: the official client of the tunnel. Built in half a minute where it is not in the cache yet. */
export async function ensureGoTunnel(): Promise<string> {
  const recipe = { module: '../clients/go-tunnel', package: '.', ldflags: '-s -w', minutes: 0.5 };
  const { 'go-tunnel': path } = await ensureBuilt({ 'go-tunnel': recipe });
  return path;
}
