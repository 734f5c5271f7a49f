import type { Log } from '../base/log.ts';
import { Scope } from '../base/scope.ts';
import type { Closable } from '../base/scope.ts';
import { readCertificateBundle } from '../pki/certificate-bundle.ts';
import { createReloadingFile } from '../pki/reloading-file.ts';
import { createReloadingKeyPair } from '../pki/reloading-key-pair.ts';
import type { ServerTls } from '../tunnel/stream-listener.ts';
import type { PortCertificateFiles } from './tunnel-server-options.ts';

export interface PortCertificatesOptions extends PortCertificateFiles {
  /** Of the port, for the log. */
  readonly name: string;
  readonly minVersion: ServerTls['minVersion'];
  readonly cipherSuites: readonly string[];
  readonly log: Log;
}

export interface PortCertificates extends Closable {
  current(): ServerTls;
  /** Calls the listener after each change of a file; gives back what ends that. */
  onChange(listener: (tls: ServerTls) => void): () => void;
}

/**
 * The certificate of a port and the authorities of its clients, read again as the files change. What cannot be read
 * leaves the last good one in place, and is told once.
 *
 * @throws Error when one cannot be read at the start.
 */
export async function createPortCertificates(options: PortCertificatesOptions): Promise<PortCertificates> {
  const { name, clientCaFile, minVersion, cipherSuites, log } = options;
  const scope = new Scope();
  const onError = (error: Error) =>
    log.error({ err: error, port: name }, 'a certificate cannot be read; the last one is kept');
  try {
    const pair = scope.own(await createReloadingKeyPair({ ...options, onError }));
    const clientCa =
      clientCaFile === undefined
        ? undefined
        : scope.own(
            await createReloadingFile(clientCaFile, {
              check: (pem) => checkAuthorities(pem, clientCaFile),
              onError,
            }),
          );
    const current = () => ({
      ...pair.current(),
      ...{ clientCaPem: clientCa?.current(), minVersion, cipherSuites },
    });
    return {
      current,
      onChange: (listener) => {
        const tell = () => {
          log.info({ port: name }, 'new certificates are used for new connections');
          listener(current());
        };
        const ends = [pair.onChange(tell), clientCa?.onChange(tell)];
        return () => {
          for (const end of ends) end?.();
        };
      },
      close: () => scope.close(),
      destroy: (reason) => scope.destroy(reason),
    };
  } catch (error) {
    scope.destroy(error);
    throw error;
  }
}

/** An empty list of authorities would shut everybody out, and one that is read in part some. */
function checkAuthorities(pem: string, path: string): void {
  const { certificates, unreadable } = readCertificateBundle(pem);
  if (certificates.length === 0) throw new Error(`there is no certificate in ${path}`);
  if (unreadable > 0) throw new Error(`${unreadable} certificates in ${path} cannot be read`);
}
