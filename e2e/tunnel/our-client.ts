import { silentLog } from '../../src/base/log.ts';
import { createTunnelDial } from '../../src/tunnel/client/tunnel-client.ts';
import { readTunnelTls } from '../../src/tunnel/client/tunnel-tls.ts';
import type { TunnelClient } from './client.ts';
import type { TunnelServer } from './server.ts';

/** The client that is in the gateway, in this process. */
export async function startOurClient({
  mode,
  frontend,
}: Pick<TunnelServer, 'mode' | 'frontend'>): Promise<TunnelClient> {
  if (frontend.type === 'unix') {
    const dial = createTunnelDial({ mode, server: { type: 'unix', path: frontend.path }, log: silentLog });
    return { dial, close: () => ended(dial) };
  }
  const { caFile, clientCertificateFile, clientKeyFile } = frontend.certificates;
  const files = { caFile, certificateFile: clientCertificateFile, keyFile: clientKeyFile };
  const tls = await readTunnelTls(files, { onError: nothing });
  const server = { type: 'tcp', host: '127.0.0.1', port: frontend.port } as const;
  const dial = createTunnelDial({ mode, server, tls, log: silentLog });
  return {
    dial,
    async close() {
      await ended(dial);
      await tls.close();
    },
  };
}

const nothing = (): void => undefined;

/** What a test left open does not hold up the next one. */
function ended(dial: ReturnType<typeof createTunnelDial>): Promise<void> {
  dial.destroy();
  return Promise.resolve();
}
