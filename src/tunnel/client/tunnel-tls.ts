import { createClientTls } from '../../net/tls.ts';
import type { ClientTls } from '../../net/tls.ts';
import { createReloading } from '../../pki/reloading-file.ts';
import type { ReloadOptions, Reloading } from '../../pki/reloading-file.ts';
import { errorText } from '../../base/failure.ts';

/** Files with PEM texts. */
export interface TunnelTlsFiles {
  /** Signs the tunnel server's certificate. */
  readonly caFile: string;
  /** What the tunnel server knows us by. */
  readonly certificateFile: string;
  readonly keyFile: string;
}

/**
 * The TLS material of connections to the tunnel server, read again as its files change. Files that do not belong together
 * are not taken: they are written one after the other.
 *
 * @throws Error when the files cannot be read or used at the start; it names them and shows nothing that is in them.
 */
export function readTunnelTls(files: TunnelTlsFiles, options: ReloadOptions): Promise<Reloading<ClientTls>> {
  const { caFile, certificateFile, keyFile } = files;
  return createReloading([caFile, certificateFile, keyFile], {
    ...options,
    parse: ([ca = '', certificatePem = '', privateKeyPem = '']) => {
      try {
        return createClientTls({ ca, certificatePem, privateKeyPem });
      } catch (error) {
        throw new Error(`${caFile}, ${certificateFile}, ${keyFile}: ${errorText(error)}`, { cause: error });
      }
    },
  });
}
