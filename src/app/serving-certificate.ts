import { hostname } from 'node:os';
import type { ServingCertificate, SniCertificate } from '../apiserver/sni-certificates.ts';
import type { Log } from '../base/log.ts';
import { Scope } from '../base/scope.ts';
import type { Closable } from '../base/scope.ts';
import { createReloadingKeyPair } from '../pki/reloading-key-pair.ts';
import type { ReloadingKeyPair } from '../pki/reloading-key-pair.ts';
import { ensureSelfSigned } from '../pki/self-signed.ts';
import type { GatewayOptions } from './gateway-options.ts';
import type { SniCertificateFiles } from './go-values.ts';

export type ServingOptions = Pick<
  GatewayOptions,
  'tlsCertFile' | 'tlsPrivateKeyFile' | 'certDirectory' | 'tlsSniCertificates'
>;

export interface ServingCertificates extends Closable {
  current(): {
    readonly certificate: ServingCertificate;
    readonly sniCertificates: readonly SniCertificate[];
  };
  /** Calls the listener after each change of any of them; gives back what ends that. */
  onChange(listener: () => void): () => void;
}

/**
 * The serving certificates, read again as their files change; a self-signed one where none is given. What cannot be
 * read leaves the last good one of that pair in place, and the others as they are.
 *
 * @throws Error when one cannot be read at the start.
 */
export async function createServingCertificates(
  options: ServingOptions,
  log: Log,
): Promise<ServingCertificates> {
  const scope = new Scope();
  const onError = (error: Error) =>
    log.error({ err: error }, 'a serving certificate cannot be read; the last one is kept');
  const read = async ({ certificateFile, keyFile }: Omit<SniCertificateFiles, 'names'>) =>
    scope.own(await createReloadingKeyPair({ certificateFile, keyFile, onError }));
  try {
    const main = await read(await filesOf(options, log));
    const named: { readonly pair: ReloadingKeyPair; readonly names: readonly string[] }[] = [];
    for (const files of options.tlsSniCertificates)
      named.push({ pair: await read(files), names: files.names });

    return {
      current: () => ({
        certificate: main.current(),
        sniCertificates: named.map(({ pair, names }) => ({ ...pair.current(), names })),
      }),
      onChange: (listener) => {
        const ends = [main, ...named.map(({ pair }) => pair)].map((pair) => pair.onChange(listener));
        return () => {
          for (const end of ends) end();
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

async function filesOf(
  options: ServingOptions,
  log: Log,
): Promise<{ certificateFile: string; keyFile: string }> {
  if (options.tlsCertFile !== undefined && options.tlsPrivateKeyFile !== undefined) {
    return { certificateFile: options.tlsCertFile, keyFile: options.tlsPrivateKeyFile };
  }
  const files = await ensureSelfSigned({
    directory: options.certDirectory,
    dnsNames: ['localhost', hostname()],
    ipAddresses: ['127.0.0.1'],
  });
  if (files.made) log.warn({ file: files.certificateFile }, 'made a self-signed serving certificate');
  return files;
}
