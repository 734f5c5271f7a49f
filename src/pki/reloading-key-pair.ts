import { X509Certificate, createPrivateKey } from 'node:crypto';
import type { IssuedCertificate } from './certificate-profile.ts';
import { createReloading } from './reloading-file.ts';
import type { ReloadOptions, Reloading } from './reloading-file.ts';

/** The PEM texts of a certificate, with the chain that belongs to it, and of its private key. */
export type KeyPair = IssuedCertificate;
export type ReloadingKeyPair = Reloading<KeyPair>;

/**
 * Reads a certificate and its key and goes on reading them. A pair of which one file is new and the other old is not
 * taken: the two are written one after the other.
 *
 * @throws Error when the files cannot be read or make no pair at the start.
 * @example
 * const pair = scope.own(await createReloadingKeyPair({ certificateFile, keyFile, onError }));
 * pair.onChange(({ certificatePem, privateKeyPem }) => server.setSecureContext({ … }));
 */
export function createReloadingKeyPair(
  options: ReloadOptions & { readonly certificateFile: string; readonly keyFile: string },
): Promise<ReloadingKeyPair> {
  const { certificateFile, keyFile, ...rest } = options;
  return createReloading([certificateFile, keyFile], {
    ...rest,
    parse: ([certificatePem = '', privateKeyPem = '']) => {
      const pair = { certificatePem, privateKeyPem };
      checkKeyPair(pair, { certificateFile, keyFile });
      return pair;
    },
  });
}

/** @throws Error that names the file and never shows what is in it. */
function checkKeyPair(pair: KeyPair, files: { certificateFile: string; keyFile: string }): void {
  const certificate = tryTo(`cannot read a certificate in ${files.certificateFile}`, () => {
    return new X509Certificate(pair.certificatePem);
  });
  const key = tryTo(`cannot read a private key in ${files.keyFile}`, () =>
    createPrivateKey(pair.privateKeyPem),
  );
  if (!certificate.checkPrivateKey(key))
    throw new Error(`the key in ${files.keyFile} does not belong to ${files.certificateFile}`);
}

function tryTo<T>(problem: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw new Error(problem, { cause: error });
  }
}
