import { hostname } from 'node:os';
import type { Log } from '../base/log.ts';
import { createReloadingKeyPair } from '../pki/reloading-key-pair.ts';
import type { ReloadingKeyPair } from '../pki/reloading-key-pair.ts';
import { ensureSelfSigned } from '../pki/self-signed.ts';
import type { GatewayOptions } from './gateway-options.ts';

/** The serving certificate, read again as its files change; a self-signed one where none is given. */
export async function createServingCertificate(options: GatewayOptions, log: Log): Promise<ReloadingKeyPair> {
  const files = await filesOf(options, log);
  const onError = (error: Error) =>
    log.error({ err: error }, 'the serving certificate cannot be read; the last one is kept');
  return createReloadingKeyPair({ ...files, onError });
}

async function filesOf(
  options: GatewayOptions,
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
